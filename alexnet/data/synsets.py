"""The thousand classes of ILSVRC-2012, so that a folder named by its wnid has words."""

from importlib import resources

from alexnet.data.shards import ClassName


def ilsvrc2012() -> tuple[ClassName, ...]:
    """ILSVRC-2012's thousand classes, wnid and words, in the order of their wnids, that of Caffe and torchvision."""
    text = (resources.files("alexnet.data") / "ilsvrc2012.tsv").read_text(encoding="utf-8")
    return tuple(ClassName(*line.split("\t")) for line in text.splitlines() if not line.startswith("#"))
