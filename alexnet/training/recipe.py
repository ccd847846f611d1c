"""A recipe: one frozen tree that fixes what a run computes. Where it computes is a `Machine`."""

from dataclasses import dataclass, field
from typing import Literal

from alexnet.data.loader import Loading
from alexnet.data.views import Views
from alexnet.errors import InputError
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.cifar10 import Cifar10Config
from alexnet.training.optimiser import Optimiser
from alexnet.training.schedule import Milestones, Plateau


@dataclass(frozen=True)
class Loss:
    """The negative log-probability of the true label, averaged over the batch (sections 3 and 5)."""

    class_weights: Literal["equal", "balanced"] = "equal"
    """Whether each image counts the same, or each class (a weight's mean over the training set is then 1)."""


@dataclass(frozen=True)
class Seeds:
    """Two numbers that decide everything drawn at random."""

    weights: int = 0
    """Decides the initial weights."""
    data: int = 0
    """Decides the order of the images, their crops, mirrors and colours, and the dropout masks."""


@dataclass(frozen=True)
class Recipe:
    """What a run computes. The defaults are the paper's text; `alexnet.recipes` holds the named ones."""

    name: str = "custom"
    """The named recipe that this one began as."""
    model: AlexNetConfig | Cifar10Config = field(default_factory=AlexNetConfig)
    """The network."""
    views: Views = field(default_factory=Views)
    """How a stored image is shown to the network."""
    loader: Loading = field(default_factory=Loading)
    """The batch and the order of the images."""
    loss: Loss = field(default_factory=Loss)
    """What is minimised."""
    optimiser: Optimiser = field(default_factory=Optimiser)
    """The learning rule."""
    schedule: Plateau | Milestones = field(default_factory=Plateau)
    """How the rates change, and when training ends."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the training step: float32, or bfloat16 products under autocast. Validation is in fp32."""
    seeds: Seeds = field(default_factory=Seeds)
    """Two numbers that decide everything drawn at random."""

    def __post_init__(self) -> None:
        if self.views.crop != self.model.input:
            raise InputError(
                f"views.crop is {self.views.crop} but the network takes {self.model.input}x{self.model.input} inputs; "
                "set views.crop and model.input alike."
            )


@dataclass(frozen=True)
class Machine:
    """Where a run computes: it changes speed, never the recipe, and may differ when a run is resumed."""

    devices: tuple[str, ...] = ("auto",)
    """auto (the best there is), cpu, cuda:0 ...; two names put a tower of the network on each (`cuda:0 cuda:1`)."""
    micro_batch: int | None = None
    """At most this many images at once on a device; the batch's gradient is summed over such pieces."""
    compile: bool = False
    """Whether torch.compile translates the network first (a minute, then faster on some devices)."""
    threads: int | None = None
    """CPU threads for arithmetic; all cores when not given."""
    cache: Literal["auto", "none", "memory", "device"] = "auto"
    """Where decoded images are kept: `auto` keeps small sets whole, on the device or in memory."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints: the most work that a power cut can cost."""
    keep_epochs: tuple[int, ...] = ()
    """The classifiers after these epochs are kept, in the run's checkpoints/ (0: before training)."""

    def __post_init__(self) -> None:
        for name in ("micro_batch", "threads"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise InputError(f"machine.{name} is {count}; it must be at least 1, or not be given.")
        if not self.checkpoint_minutes >= 0:
            raise InputError(f"machine.checkpoint_minutes is {self.checkpoint_minutes}; it must be at least 0.")
        if any(epoch < 0 for epoch in self.keep_epochs):
            raise InputError(f"machine.keep_epochs is {list(self.keep_epochs)}; epochs count from 0, before training.")
