"""Section 6's way with another set: a network with a sixth convolution pretrained on it, then fine-tuned."""

from dataclasses import replace

from alexnet import recipes
from alexnet.data.shards import PreparedSet
from alexnet.experiments.bench import Bench
from alexnet.experiments.comparison import guessing, unlearnt
from alexnet.model.alexnet import AlexNetConfig
from alexnet.training.finished import epochs
from alexnet.training.recipe import Recipe
from alexnet.training.run import Run


def six_convs(base: Recipe) -> Recipe:
    """`base` with the sixth convolution of the paper's pretrained networks."""
    assert isinstance(base.model, AlexNetConfig)
    return replace(base, model=replace(base.model, conv6=True))


def finetuning(base: Recipe, share: float = 1.0) -> Recipe:
    """The authors' rates from Fall 2011 to ILSVRC-2012, begun at a tenth of `base`'s rate as theirs at a tenth of 0.01.

    Args:
        share: of the training images; epochs grow as it shrinks, so that the number of steps stays.
    """
    six = six_convs(base)
    recipe = recipes.finetuning(six.model, six.views)
    return with_share(
        replace(
            recipe,
            loader=base.loader,
            precision=base.precision,
            optimiser=replace(recipe.optimiser, learning_rate=base.optimiser.learning_rate / 10),
        ),
        share,
    )


def with_share(recipe: Recipe, share: float) -> Recipe:
    """`recipe` on that share of the training images, with as many steps: its epochs grow as the share shrinks."""
    if share == 1.0:
        return recipe
    longer = recipes.shorter(recipe, round(recipe.schedule.epochs / share))
    return replace(longer, loader=replace(longer.loader, share=share))


def finetuned(bench: Bench, seed: int = 0, share: float = 1.0) -> Run:
    """The run pretrained on `bench.pretrain` and fine-tuned on the bench's set, or on a share of it.

    The sixth convolution stays; the last layer is new where the classes differ.
    """
    start = pretrained(bench, seed).path / "weights.safetensors"
    return bench.train(finetuning(bench.base, share), seed, start=start)


def pretrained(bench: Bench, seed: int = 0) -> Run:
    """The run on `bench.pretrain`, with the sixth convolution."""
    assert bench.pretrain is not None
    return bench.train(six_convs(bench.base), seed, data=bench.pretrain)


def learnt(bench: Bench, seed: int = 0) -> tuple[float, float]:
    """The pretrained network's top-1 error on its own set, and that of guessing there.

    Of the set's validation images; without such a split, of its training images as they were trained on.
    """
    assert bench.pretrain is not None
    prepared = PreparedSet.open(bench.pretrain)
    split = "val" if prepared.counts.get("val") else "train"
    last = epochs(pretrained(bench, seed).path)[-1]
    return float((last["validation"] or last["training"])["top1_error"]), guessing(prepared.split(split).labels)


def untaught(bench: Bench, seed: int = 0) -> str | None:
    """Why fine-tuning tells nothing of pretraining: that taught nothing of its own set. None where it did."""
    assert bench.pretrain is not None
    nothing = unlearnt(*learnt(bench, seed), f"pretrained on {bench.pretrain.name}, the network")
    return nothing.reason.rstrip(".") if nothing else None
