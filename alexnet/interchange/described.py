"""A classifier's description as the JSON that its exports carry, so that they can be imported again as they were."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from alexnet import config
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.evaluation.classifier_file import FORMAT, Description
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
    try:
        data = json.loads(weights.described)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path}: its description is not valid JSON ({error}); take another copy.") from None
    number = data.pop("format", None) if isinstance(data, dict) else None
    if not isinstance(number, int) or number > FORMAT:
        raise InputError(f"{path} has format {number}; this alexnet reads up to {FORMAT}: upgrade the package.")
    found: Description = config.from_json(Description, data, str(path), [])
    if found.size not in _SIZES or found.views.crop != found.network.input or not found.temperature > 0:
        raise InputError(f"{path}: its description contradicts itself in size, views or temperature.")
    if found.network.classes != len(found.classes):
        raise InputError(f"{path} names {len(found.classes)} classes for {found.network.classes} outputs.")
    return found
