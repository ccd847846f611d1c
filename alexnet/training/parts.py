"""The parts that a recipe and a machine make together: network, rule, loaders and views, ready for the loop."""

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from alexnet import config, distributed
from alexnet.data.loader import Loader
from alexnet.data.shards import PreparedSet
from alexnet.data.views import Statistics
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.model.network import Network
from alexnet.training import environment
from alexnet.training.checkpoint import Checkpoint, Position
from alexnet.training.optimiser import learning_rule, require_layers, velocities
from alexnet.training.recipe import Loss, Machine, Recipe

WAY_OUT = (
    "Checkpoints are left as they were; lower --optimiser.learning-rate, or divide the input by its deviation "
    "(--views.divisor deviation), and train into a new run."
)


class NotFinite(InputError):
    """The loss, or a weight, is not finite: training cannot go on from here."""


@dataclass
class Parts:
    """What the loop works with."""

    classifier: Classifier
    """The living network with its views, statistics and classes."""
    forward: nn.Module
    """The network, perhaps compiled and shared over ranks."""
    rule: torch.optim.SGD
    class_weights: Tensor
    """float32 `[K]` on the device."""
    loader: Loader
    validation: Loader | None
    device: torch.device
    """Where images go and logits come from."""
    precision: str
    seed: int
    micro_batch: int | None
    """At most this many images at once."""

    @classmethod
    def assemble(
        cls,
        recipe: Recipe,
        prepared: PreparedSet,
        machine: Machine,
        places: Sequence[torch.device],
        beginning: Classifier | None,
    ) -> "Parts":
        """The parts of `recipe` on `prepared`, the network at its initial weights or those of `beginning`."""
        device = places[0]
        statistics = (beginning.statistics if beginning else prepared.statistics()).to(device)
        network = _network(recipe, prepared, places, beginning)
        rule = learning_rule(network, recipe.optimiser)
        require_layers(network, "schedule", recipe.schedule.layers)
        forward: nn.Module = network
        if machine.compile:
            forward = torch.compile(forward)  # type: ignore[assignment]
        if distributed.world() > 1:
            forward = DistributedDataParallel(forward, gradient_as_bucket_view=True)
        train, val = prepared.split("train"), prepared.split("val") if prepared.counts.get("val") else None
        return cls(
            classifier=_classifier(network, statistics, recipe, prepared, beginning),
            forward=forward,
            rule=rule,
            class_weights=class_weights(recipe.loss, train.labels, len(prepared.classes)).to(device),
            loader=Loader(train, recipe.loader, device, seed=recipe.seeds.data, cache=machine.cache),
            validation=Loader(val, recipe.loader, device, cache=machine.cache) if val else None,
            device=device,
            precision=recipe.precision,
            seed=recipe.seeds.data,
            micro_batch=machine.micro_batch,
        )

    @property
    def network(self) -> Network:
        """The network that learns."""
        return self.classifier.network

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of the recipe's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def no_sync(self) -> AbstractContextManager[Any]:
        """The context in which gradients gather without being shared."""
        return self.forward.no_sync() if isinstance(self.forward, DistributedDataParallel) else contextlib.nullcontext()

    def whole(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """(weights, velocities) as whole CPU tensors by name, towers joined; a frozen layer's velocity is 0."""
        moving = velocities(self.rule)
        speeds = {p: moving[p] if p in moving else torch.zeros_like(p) for p in self.network.parameters()}
        return self.network.whole(), self.network.whole_of(speeds)

    def require_finite(self) -> None:
        """Nothing when every weight is a finite number.

        Raises:
            NotFinite: one is not; its tensor is named.
        """
        for name, parameter in self.network.named_parameters():
            if not parameter.isfinite().all():
                raise NotFinite(f"training broke: {name} holds values that are not finite. {WAY_OUT}")

    def restore(self, saved: Checkpoint) -> Position:
        """The checkpoint's position; the network's weights and the rule's velocities are now the checkpoint's."""
        self.network.load_whole(saved.weights)
        moving = velocities(self.rule)
        for parameter, value in self.network.parts_of(saved.velocities).items():
            if parameter in moving:
                moving[parameter].copy_(value)
        return saved.position


def class_weights(loss: Loss, labels: Any, classes: int) -> Tensor:
    """float32 `[K]`: each class's weight in the loss; the mean over the training images is 1.

    Args:
        labels: int64 array `[N]`, the training images' classes.
    """
    if loss.class_weights == "equal":
        return torch.ones(classes)
    counts = torch.bincount(torch.as_tensor(labels), minlength=classes).double()
    present = int((counts > 0).sum())
    return (counts.sum() / (present * counts.clamp(min=1))).float()


def _network(
    recipe: Recipe, prepared: PreparedSet, places: Sequence[torch.device], beginning: Classifier | None
) -> Network:
    """The recipe's network in training mode on its devices, at its initial weights or those of `beginning`."""
    if len(places) == 2 and distributed.world() > 1:
        raise InputError("two --machine.devices split the towers within one process: start it without torchrun.")
    network = Network(recipe.model)
    network.initialise(recipe.seeds.weights)
    if beginning:
        _start_from(network, beginning, [entry.name for entry in prepared.classes])
    network.place(places)
    return network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload,no-any-return]


def _classifier(
    network: Network, statistics: Statistics, recipe: Recipe, prepared: PreparedSet, beginning: Classifier | None
) -> Classifier:
    return Classifier(
        network=network,
        views=recipe.views,
        statistics=statistics,
        classes=prepared.classes,
        squaring=prepared.squaring,
        recipe=config.to_json(recipe),
        lineage=[*beginning.lineage, beginning.recipe] if beginning else [],
        commit=environment.commit(),
    )


def _start_from(network: Network, beginning: Classifier, classes: list[str]) -> None:
    """Takes the weights of `beginning`, but for the last layer where the classes differ."""
    state, fresh = beginning.network.whole(), network.whole()
    last = network.rows[-1].name
    if [entry.name for entry in beginning.classes] != classes:
        state = {k: fresh[k] if k.split(".")[0] == last else v for k, v in state.items()}
    network.load_whole(state)
