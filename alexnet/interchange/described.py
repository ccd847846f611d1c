"""A classifier's description as the JSON that its exports carry, so that they can be imported again as they were."""

import dataclasses
from pathlib import Path
from typing import Any

from alexnet import config
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.evaluation.classifier_file import FORMAT, Description, parsed
from alexnet.interchange.weights import Weights

FIELDS = tuple(field.name for field in dataclasses.fields(Description) if field.name != "network")
_SIZES = range(1, 4097)


def values(classifier: Classifier) -> dict[str, Any]:
    """The description as JSON values: the format's number, the network, and the classifier's fields."""
    fields = {name: config.to_json(getattr(classifier, name)) for name in FIELDS}
    return {"format": FORMAT, "network": config.to_json(classifier.network.config), **fields}


def read(weights: Weights, path: Path) -> Description:
    """The description that an export keeps in a file.

    Raises:
        InputError: it is damaged, of a newer format, or contradicts itself.
    """
    found = parsed(path, weights.described, [])
    if found.size not in _SIZES:
        raise InputError(f"{path} takes pictures of {found.size}; 1 to {_SIZES[-1]} are possible: take another copy.")
    return found
