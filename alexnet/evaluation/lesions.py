"""Lesions: units set to zero on the way through a network, named as on the command line.

conv3=zero        every unit of the stage
conv3:0,5=zero    the maps 0 and 5 of a stage of maps, the units 0 and 5 of one without; counted from 0 over the
                  whole row, tower 1's first; conv3:0-5,9=zero are 0 to 5, and 9
tower2=zero       tower 2's half of every row that two towers hold: at each, for biases would revive what was
                  zeroed before them

Spaces around the signs say nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from alexnet.config import nearest
from alexnet.errors import InputError
from alexnet.model.network import Fact, Network, facts

_EDIT = re.compile(r"\s*(?P<where>\w+)\s*(?::(?P<units>[\d\s,-]*))?=\s*zero\s*")
_RANGE = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")
_TOWER = re.compile(r"tower(\d+)")


def changes(edits: Sequence[str], network: Network) -> dict[str, Callable[[Tensor], Tensor]]:
    """For each stage that the edits name, what to make of it: the `edit` of `Network.stages`.

    Raises:
        InputError: an edit is not of the forms above, or names a stage, a tower or a unit that the network lacks.
    """
    zeroed = _silenced(edits, network)
    return {stage: partial(_zeroed, units=torch.tensor(sorted(units))) for stage, units in zeroed.items()}


def cut_off(edits: Sequence[str], network: Network) -> str | None:
    """A sentence of warning where the edits leave no unit of a stage: what comes after it never sees the picture.

    Raises:
        InputError: as for `changes`.
    """
    rows, zeroed = facts(network.config), _silenced(edits, network)
    for row in rows:
        if len(zeroed.get(row.name, ())) == row.shape[0]:
            tower = "a tower (tower2=zero) or " if rows[0].towers > 1 else ""
            return (
                f"{row.name} is silenced whole, so that it and every stage after it answer all pictures alike; "
                f"{tower}listed units ({row.name}:0,5=zero) leave some of it."
            )
    return None


def lesion(network: Network, edits: Sequence[str]) -> None:
    """Nothing; from now on every pass through `network` is lesioned so. The weights are not touched.

    Raises:
        InputError: as for `changes`; or the network's towers are placed on two devices.
    """
    if edits and network.placed:
        raise InputError("a network placed on two devices cannot be lesioned; place it on one first.")
    for stage, change in changes(edits, network).items():
        # A row's module gives its stage, so that views, ensembles and `stages` all see the change.
        network.get_submodule(stage).register_forward_hook(lambda _, __, maps, change=change: change(maps))


def _silenced(edits: Sequence[str], network: Network) -> dict[str, set[int]]:
    """All units that the edits zero, by stage."""
    rows, zeroed = facts(network.config), dict[str, set[int]]()
    for edit in edits:
        for stage, units in _units(edit, rows).items():
            zeroed.setdefault(stage, set()).update(units)
    return zeroed


def _zeroed(maps: Tensor, units: Tensor) -> Tensor:
    """`maps` (`[N, units, ...]`) with these units zero, as a new tensor."""
    return maps.index_fill(1, units.to(maps.device), 0)


def _units(edit: str, rows: Sequence[Fact]) -> Mapping[str, range | set[int]]:
    """The units that one edit zeroes, by stage."""
    found = _EDIT.fullmatch(edit)
    listed = None if found is None or found["units"] is None else _ranges(found["units"])
    if found is None or listed == []:
        raise InputError(
            f"the edit {edit!r} is none; there are conv3=zero, conv3:0,5=zero, conv3:0-5=zero and tower2=zero."
        )
    where = found["where"]
    if tower := _TOWER.fullmatch(where):
        return _of_tower(edit, int(tower[1]), listed is not None, rows)
    shapes = {row.name: row.shape for row in rows}
    if where not in shapes:
        raise InputError(
            f"the edit {edit!r}: there is no stage {where!r}{nearest(where, shapes)}; there are {', '.join(shapes)}."
        )
    count = shapes[where][0]
    if listed is None:
        return {where: range(count)}
    if beyond := [max(units.start, count) for units in listed if units.stop > count]:
        raise InputError(f"the edit {edit!r}: {where} has units 0 to {count - 1}, and no {min(beyond)}.")
    return {where: {unit for units in listed for unit in units}}


def _ranges(listed: str) -> list[range]:
    """What "0-5,9" lists; nothing where it is no list, or one of its ranges runs backwards."""
    found = [_RANGE.fullmatch(part) for part in listed.split(",")]
    units = [range(int(each[1]), int(each[2] or each[1]) + 1) for each in found if each]
    return units if len(units) == len(found) and all(units) else []


def _of_tower(edit: str, tower: int, listed: bool, rows: Sequence[Fact]) -> Mapping[str, range]:
    towers = max(row.towers for row in rows)
    if towers == 1:
        raise InputError(f"the edit {edit!r}: this network has one tower, so none can be taken away.")
    if listed or not 1 <= tower <= towers:
        raise InputError(f"the edit {edit!r}: a tower is zeroed whole, by tower1=zero or tower2=zero.")
    halves = {row.name: row.shape[0] // towers for row in rows if row.towers == towers}
    return {name: range((tower - 1) * half, tower * half) for name, half in halves.items()}
