"""The learning rule of section 5: stochastic gradient descent whose rate is inside the velocity.

    v := momentum * v - decay * rate * w - rate * gradient,    w := w + v

so a drop of the rate acts on the gradients that follow and not on the velocity gathered before it. torch's SGD
computes `b := momentum * b + (1 - dampening) * (gradient + decay * w), w := w - lr * b`, which is that rule for
lr = 1 and dampening = 1 - rate, with b = -v: so torch's fused kernel serves, and `b` needs no correction at a drop.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from alexnet.config import nearest
from alexnet.errors import InputError
from alexnet.training.schedule import Factors


@dataclass(frozen=True)
class Optimiser:
    """The numbers of the learning rule. The defaults are the paper's: equal rates for all layers (section 5)."""

    learning_rate: float = 0.01
    """The rate of the weights before the schedule's factors (section 5: 0.01)."""
    momentum: float = 0.9
    """The share of the velocity kept from step to step (section 5: 0.9)."""
    weight_decay: float = 0.0005
    """The share of a weight, times the rate, taken away at each step (section 5: 0.0005)."""
    bias_rate: float = 1.0
    """The biases' rate over the weights' (paper: 1; authors' code: 2)."""
    bias_decay: bool = True
    """Whether biases decay as weights do (paper: yes, by its formula; authors' code: no)."""
    rates: dict[str, float] = field(default_factory=dict)
    """A factor on the rate of the layers named; 1 for the rest."""
    decays: dict[str, float] = field(default_factory=dict)
    """The weight decay of the layers named; `weight_decay` for the rest (the CIFAR-10 nets)."""
    frozen: tuple[str, ...] = ()
    """Layers that keep their weights: no gradient is computed for them."""

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise InputError(f"optimiser.momentum is {self.momentum}; it is a share below 1, 0.9 in the paper.")
        if self.learning_rate < 0 or self.weight_decay < 0 or self.bias_rate < 0:
            raise InputError("optimiser.learning_rate, weight_decay and bias_rate cannot be negative.")


def learning_rule(network: nn.Module, config: Optimiser) -> torch.optim.SGD:
    """torch's SGD over `network`'s parameters, a group each, set to the rule above with its velocities at 0.

    A group's "name" is the parameter's. Rates are set by `set_rates` before the first step.

    Raises:
        InputError: `config` names a layer that the network lacks.
    """
    parameters = dict(network.named_parameters())
    require_layers(network, "optimiser", [*config.rates, *config.decays, *config.frozen])
    groups = []
    for name, parameter in parameters.items():
        decays = config.bias_decay or not _is_bias(name)
        decay = config.decays.get(layer(name), config.weight_decay) if decays else 0.0
        if layer(name) in config.frozen:
            parameter.requires_grad_(False)
        else:
            groups.append({"params": [parameter], "name": name, "weight_decay": decay})
    if not groups:
        raise InputError("optimiser.frozen names every layer: nothing would be learned.")
    rule = torch.optim.SGD(groups, lr=1.0, momentum=config.momentum, fused=True)
    for group in rule.param_groups:
        (parameter,) = group["params"]
        rule.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return rule


def require_layers(network: nn.Module, section: str, names: Iterable[str]) -> None:
    """Nothing when `network` has all the layers that a recipe's `section` names.

    Raises:
        InputError: it lacks one; the nearest name is suggested.
    """
    layers = {layer(name) for name, _ in network.named_parameters()}
    for name in names:
        if name not in layers:
            raise InputError(f"the {section} names the layer {name!r}, which the network lacks{nearest(name, layers)}.")


def set_rates(rule: torch.optim.SGD, config: Optimiser, factors: Factors) -> None:
    """Nothing; the next step of `rule` uses the rates of `config` times the schedule's `factors`."""
    for group in rule.param_groups:
        value = rate(group["name"], config, factors)
        # Without momentum torch keeps no velocity and ignores the dampening.
        group["lr"], group["dampening"] = (1.0, 1.0 - value) if config.momentum else (value, 0.0)


def rate(name: str, config: Optimiser, factors: Factors) -> float:
    """The learning rate of the parameter `name` ("conv1.weight") under the schedule's `factors`."""
    own = config.rates.get(layer(name), 1.0) * factors.layers.get(layer(name), 1.0)
    kind = config.bias_rate * factors.biases if _is_bias(name) else factors.weights
    return config.learning_rate * own * kind


def velocities(rule: torch.optim.SGD) -> Mapping[nn.Parameter, torch.Tensor]:
    """The velocity of each parameter, with its sign turned, as torch keeps it."""
    return {group["params"][0]: rule.state[group["params"][0]]["momentum_buffer"] for group in rule.param_groups}


def layer(name: str) -> str:
    """The layer of a parameter: "conv1" for "conv1.weight", also of one tower's part on its device."""
    return name.rsplit(".", 2)[-2]


def _is_bias(name: str) -> bool:
    return name.endswith(".bias")
