"""The tensors that a network expects, and the refusal of others before any weight is touched."""

import importlib.util
from collections.abc import Mapping

from alexnet.errors import InputError
from alexnet.model import rows
from alexnet.model.network import Config, Network
from alexnet.model.rows import Shape


def shapes(model: Network) -> dict[str, dict[str, Shape]]:
    """For each row that learns, in order, the shapes of its whole "weight" and "bias", towers joined."""
    return of_config(model.config)


def of_config(config: Config) -> dict[str, dict[str, Shape]]:
    """The same for the network of `config`, none being made."""
    table = config.table()
    inputs = rows.input_shapes(table, config.input)
    found = {row.name: rows.parameter_shapes(row, inputs[row.name]) for row in table}
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


def require_package(module: str, extra: str, what: str) -> None:
    """Nothing when the package that `what` needs is installed.

    Raises:
        InputError: it is not; the sentence says how to install it.
    """
    if importlib.util.find_spec(module) is None:
        raise InputError(f"{what} needs the package {module}: pip install 'alexnet[{extra}]'.")
