"""The tensors that a network expects, and the refusal of others before any weight is touched."""

from collections.abc import Mapping

from alexnet.errors import InputError
from alexnet.model import rows
from alexnet.model.network import Network
from alexnet.model.rows import Shape


def shapes(model: Network) -> dict[str, dict[str, Shape]]:
    """For each row that learns, in order, the shapes of its whole "weight" and "bias", towers joined."""
    inputs = rows.input_shapes(model.rows, model.config.input)
    found = {row.name: rows.parameter_shapes(row, inputs[row.name]) for row in model.rows}
    return {name: parameters for name, parameters in found.items() if parameters}


def require(expected: Mapping[str, Shape], found: Mapping[str, Shape], what: str) -> None:
    """Nothing, if `found` has the names and the shapes of `expected`.

    Args:
        what: what is being fitted together, as the subject of the sentence.

    Raises:
        InputError: names are missing or too many, or a shape is another.
    """
    if expected.keys() != found.keys():
        missing = [name for name in expected if name not in found]
        unknown = [name for name in found if name not in expected]
        parts = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has also {', '.join(unknown)}"] * bool(unknown)
        raise InputError(f"{what} {' and '.join(parts)}; expected: {', '.join(expected)}.")
    wrong = [
        f"{name} is {list(found[name])} where {list(shape)} was expected"
        for name, shape in expected.items()
        if tuple(found[name]) != tuple(shape)
    ]
    if wrong:
        raise InputError(f"{what} does not fit this network: {'; '.join(wrong)}.")
