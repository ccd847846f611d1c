"""A classifier's description as the JSON that its exports carry, so that they can be imported again as they were."""

from pathlib import Path

from alexnet.errors import InputError
from alexnet.evaluation.classifier_file import Description, parsed
from alexnet.interchange.weights import Weights

_SIZES = range(1, 4097)


def read(weights: Weights, path: Path) -> Description:
    """The description that an export keeps in a file.

    Raises:
        InputError: it is damaged, of a newer format, or contradicts itself.
    """
    found = parsed(path, weights.described, [])
    if found.size not in _SIZES:
        raise InputError(f"{path} takes pictures of {found.size}; 1 to {_SIZES[-1]} are possible: take another copy.")
    return found
