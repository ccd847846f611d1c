"""Public files of weights, known by their checksum, and the accuracy that their makers published."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One public file; accuracies are in percent, ILSVRC-2012 validation, centre view."""

    file: str
    digest: str
    """"sha1:" or "sha256:" and as many of its first digits as are published."""
    network: str
    """The name of its network: "torchvision", "bvlc_alexnet" or "caffenet"."""
    top1: float
    top5: float
    source: str


FILES = (
    # Its name holds the first eight digits of its SHA-256, which torch.hub compares.
    Published("alexnet-owt-7be5be79.pth", "sha256:7be5be79", "torchvision", 56.522, 79.066, "torchvision's docs"),
    Published(
        "bvlc_alexnet.caffemodel",
        "sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377",
        "bvlc_alexnet",
        57.1,
        80.2,
        "BVLC/caffe, models/bvlc_alexnet/readme.md",
    ),
    Published(
        "bvlc_reference_caffenet.caffemodel",
        "sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
        "caffenet",
        57.4,
        80.4,
        "BVLC/caffe, models/bvlc_reference_caffenet/readme.md",
    ),
)


def known(digests: dict[str, str]) -> Published | None:
    """The public file with these digests ("sha1" and "sha256" to hexadecimal digits), if it is one."""
    for published in FILES:
        kind, digits = published.digest.split(":")
        if digests.get(kind, "").startswith(digits):
            return published
    return None
