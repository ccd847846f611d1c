"""Network: executes a table of rows on one or two devices."""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from alexnet.config import nearest
from alexnet.errors import InputError
from alexnet.model import layers, rows
from alexnet.model.rows import Field, Row, Shape


class Config(Protocol):
    """What a Network needs to know of its configuration (AlexNetConfig, Cifar10Config)."""

    @property
    def classes(self) -> int: ...
    @property
    def input(self) -> int: ...
    def table(self) -> tuple[Row, ...]:
        """The rows in order."""


class Network(nn.Module):
    """The rows of `config.table()` as modules: `network.conv1` ..., or, placed, `network.tower1.conv1` ...

    Weights are zero until `initialise` or `load_whole`. Maps are kept in torch's channels_last memory.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.rows = config.table()
        self.placed = False
        self._shapes = rows.input_shapes(self.rows, config.input)
        for row in self.rows:
            self.add_module(row.name, layers.module(row, self._shapes[row.name]))

    @property
    def devices(self) -> list[torch.device]:
        """The devices of the parts: one, or two when placed."""
        return [next(part.parameters()).device for part in self._parts()]

    def initialise(self, seed: int) -> None:
        """Nothing; weights and biases start as the config says, a function of (seed, row) whatever the placement."""
        state: dict[str, Tensor] = {}
        for row in self.rows:
            first = layers.initial(row, self._shapes[row.name], seed)
            state |= {f"{row.name}.{name}": tensor for name, tensor in first.items()}
        self.load_whole(state)

    def forward(self, images: Tensor, keys: Tensor | None = None) -> Tensor:
        """Logits `[N, classes]` of float images `[N, 3, side, side]`, 0..255 less the mean.

        Args:
            keys: int64 `[N]`, one an image, which decide the dropout masks in training; without them torch's
                generator does.

        Raises:
            InputError: the images do not have the shape that the network was made for.
        """
        maps = self._entering(images)
        for row in self.rows:
            maps = self._through(row, maps, keys)
        return maps[0]

    def stages(
        self,
        images: Tensor,
        only: str | Collection[str] | None = None,
        edit: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Each row's output under the row's name, in order, towers joined (tower 1's maps first).

        Args:
            only: the stage wanted, or several; the network is run no further than the last of them.
            edit: what to make of a stage on the way; all that follows sees the change.

        Raises:
            InputError: a stage that this network does not have, or images of the wrong shape.
        """
        names = [row.name for row in self.rows]
        only = [only] if isinstance(only, str) else only
        for name in {*(only or ()), *(edit or ())}:
            if name not in names:
                raise InputError(f"there is no stage {name!r}{nearest(name, names)}; there are {', '.join(names)}.")
        wanted = set(names if only is None else only)
        maps = self._entering(images)
        found: dict[str, Tensor] = {}
        for row in self.rows:
            if not wanted - found.keys():
                break
            maps = self._through(row, maps, None)
            if edit and row.name in edit:
                whole = edit[row.name](_joined(maps))
                pieces = whole.chunk(len(maps), 1)
                maps = [piece.to(m.device) for piece, m in zip(pieces, maps, strict=True)]
            if row.name in wanted:
                found[row.name] = _joined(maps)
        return found

    def place(self, devices: Sequence[torch.device | str]) -> "Network":
        """This network, its towers on two devices, or whole on one.

        The parameters are new objects with the same values: build the optimiser afterwards.

        Raises:
            InputError: more devices than towers, or a norm that reaches across towers.
        """
        towers = max(row.towers for row in self.rows)
        if not 1 <= len(devices) <= towers:
            raise InputError(f"this network has {towers} tower(s); it cannot be placed on {len(devices)} devices.")
        across = [row.name for row in self.rows if isinstance(row, rows.ResponseNorm) and row.across]
        if across and len(devices) == 2:
            raise InputError(f"{across[0]} reaches across towers, so they cannot be placed apart (norm_across=False).")
        state, training = self.whole(), self.training
        for name in list(self._modules):
            delattr(self, name)
        self.placed = len(devices) == 2
        for number, device in enumerate(devices):
            part = nn.ModuleDict() if self.placed else self
            for row in self.rows:
                if number < row.towers:
                    part.add_module(row.name, self._share(row, number).to(device))
            if self.placed:
                self.add_module(f"tower{number + 1}", part)
        self.load_whole(state)
        return self.train(training)

    def whole(self) -> dict[str, Tensor]:
        """Every weight and bias by name ("conv1.weight" ...), whole, on the CPU, contiguous, not shared with this."""
        return self.whole_of({parameter: parameter for parameter in self.parameters()})

    def load_whole(self, state: Mapping[str, Tensor]) -> None:
        """Nothing; the weights are those of `state`.

        Raises:
            InputError: a tensor is missing, has the wrong shape, or belongs to no row.
        """
        with torch.no_grad():
            for parameter, value in self.parts_of(state).items():
                parameter.copy_(value)

    def whole_of(self, values: Mapping[nn.Parameter, Tensor]) -> dict[str, Tensor]:
        """Whole tensors by name from a tensor for each parameter (its momentum, say); on the CPU, contiguous."""
        return {
            name: torch.cat([values[parameter].detach().cpu() for parameter in pieces]).contiguous()
            for name, pieces in self._pieces().items()
        }

    def parts_of(self, state: Mapping[str, Tensor]) -> dict[nn.Parameter, Tensor]:
        """`whole_of` undone: for each parameter its part of the whole tensors, on the parameter's device.

        Raises:
            InputError: a tensor is missing, has the wrong shape, or belongs to no row.
        """
        pieces, values = self._pieces(), {}
        for name in state:
            if name not in pieces:
                raise InputError(f"{name!r} is no tensor of this network{nearest(name, pieces)}.")
        for name, parameters in pieces.items():
            shape = (sum(len(parameter) for parameter in parameters), *parameters[0].shape[1:])
            if name not in state:
                raise InputError(f"the tensor {name!r} is missing; {list(shape)} was expected.")
            if state[name].shape != shape:
                raise InputError(f"the tensor {name!r} is {list(state[name].shape)}; {list(shape)} was expected.")
            for parameter, value in zip(parameters, state[name].chunk(len(parameters)), strict=True):
                values[parameter] = value.to(parameter.device)
        return values

    def whole_names(self) -> dict[nn.Parameter, str]:
        """For each parameter the name of the whole tensor that it is, or is half of: "conv1.weight" ..."""
        return {parameter: name for name, pieces in self._pieces().items() for parameter in pieces}

    def _parts(self) -> list[nn.Module]:
        return list(self.children()) if self.placed else [self]

    def _pieces(self) -> dict[str, list[nn.Parameter]]:
        pieces: dict[str, list[nn.Parameter]] = {}
        for row in self.rows:
            for part in self._parts()[: row.towers]:
                for name, parameter in part.get_submodule(row.name).named_parameters():
                    pieces.setdefault(f"{row.name}.{name}", []).append(parameter)
        return pieces

    def _share(self, row: Row, number: int) -> nn.Module:
        """The module for what one part holds of a row: a row of one tower, when its towers are placed apart."""
        shape = self._shapes[row.name]
        if not self.placed or row.towers == 1:
            return layers.module(row, shape)
        sees = row.sees if isinstance(row, rows.Convolution | rows.Dense) else "own"
        if sees == "own":
            shape = (shape[0] // 2, *shape[1:])
        if isinstance(row, rows.Convolution):
            row = dataclasses.replace(row, towers=1, kernels=row.kernels // 2)
        elif isinstance(row, rows.Dense):
            row = dataclasses.replace(row, towers=1, units=row.units // 2)
        else:
            row = dataclasses.replace(row, towers=1)
        return layers.module(row, shape, number * math.prod(shape))

    def _entering(self, images: Tensor) -> list[Tensor]:
        side = self.config.input
        if images.ndim != 4 or images.shape[1:] != (3, side, side):
            raise InputError(f"the images are {list(images.shape)}; [N, 3, {side}, {side}] was expected.")
        return [images.to(device, memory_format=torch.channels_last) for device in self.devices]

    def _through(self, row: Row, maps: list[Tensor], keys: Tensor | None) -> list[Tensor]:
        """The row's output, a tensor a part; keys go to dropout alone."""
        if row.sees_all_towers and len(maps) > 1:
            maps = [torch.cat([m.to(own.device) for m in maps], 1) for own in maps[: row.towers]]
        modules = [part.get_submodule(row.name) for part in self._parts()[: len(maps)]]
        if isinstance(row, rows.Dropout):
            return [module(m, keys) for module, m in zip(modules, maps, strict=True)]
        return [module(m) for module, m in zip(modules, maps, strict=True)]


@dataclass(frozen=True)
class Fact:
    """What one row is, for one image: shapes and counts, of the whole row and by tower; what its units see."""

    name: str
    kind: str
    shape: Shape
    towers: int
    tower_shape: Shape
    parameters: int
    tower_parameters: int
    multiply_adds: int
    tower_multiply_adds: int
    field: Field


def facts(config: Config) -> list[Fact]:
    """A Fact for each row of the table, in order; nothing is computed or held in memory."""
    table, found = config.table(), []
    shapes = rows.input_shapes(table, config.input)
    fields = rows.receptive_fields(table, config.input)
    for row in table:
        shape = rows.output_shape(row, shapes[row.name])
        parameters = sum(math.prod(size) for size in rows.parameter_shapes(row, shapes[row.name]).values())
        products, towers = rows.multiply_adds(row, shapes[row.name]), row.towers
        half = (shape[0] // towers, *shape[1:])
        kind = type(row).__name__
        counts = (parameters, parameters // towers, products, products // towers)
        found.append(Fact(row.name, kind, shape, towers, half, *counts, fields[row.name]))
    return found


def _joined(maps: list[Tensor]) -> Tensor:
    return torch.cat([m.to(maps[0].device) for m in maps], 1) if len(maps) > 1 else maps[0]
