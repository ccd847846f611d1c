"""The learning rule against section 5 written as a loop."""

import pytest
import torch
from torch import nn

from alexnet.errors import InputError
from alexnet.training.optimiser import Optimiser, learning_rule, rate, set_rates, velocities
from alexnet.training.schedule import Factors


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)
        self.fc8 = nn.Linear(7, 4)


def by_hand(weights, gradients, rates, decays, momentum):
    """Section 5, one tensor and one step at a time, in float64."""
    values = {name: w.double() for name, w in weights.items()}
    speeds = {name: torch.zeros_like(w) for name, w in values.items()}
    for gradient, rates_now in zip(gradients, rates, strict=True):
        for name in values:
            speeds[name] = (
                momentum * speeds[name]
                - decays[name] * rates_now[name] * values[name]
                - rates_now[name] * gradient[name].double()
            )
            values[name] = values[name] + speeds[name]
    return values, speeds


@pytest.mark.parametrize(
    "config",
    [
        Optimiser(),
        Optimiser(bias_rate=2.0, bias_decay=False),
        Optimiser(momentum=0.0),
        Optimiser(rates={"fc8": 10.0, "conv1": 0.1}, decays={"fc8": 1.0}, momentum=0.5),
    ],
)
def test_rule_is_section_5_over_a_rate_drop(config):
    torch.manual_seed(0)
    network = TwoLayers()
    rule = learning_rule(network, config)
    parameters = dict(network.named_parameters())
    before = {name: p.detach().clone() for name, p in parameters.items()}
    drops = [Factors()] * 4 + [Factors(weights=0.1, biases=0.1)] * 3 + [Factors(1e-3, 1e-2, 1.0, {"conv1": 0.0})] * 3
    gradients = [{name: torch.randn_like(p) for name, p in parameters.items()} for _ in drops]
    for gradient, factors in zip(gradients, drops, strict=True):
        for name, p in parameters.items():
            p.grad = gradient[name].clone()
        set_rates(rule, config, factors)
        rule.step()
    rates = [{name: rate(name, config, factors) for name in parameters} for factors in drops]
    decays = {
        name: 0.0
        if name.endswith("bias") and not config.bias_decay
        else config.decays.get(name.split(".")[0], config.weight_decay)
        for name in parameters
    }
    values, speeds = by_hand(before, gradients, rates, decays, config.momentum)
    found = velocities(rule)
    for name, p in parameters.items():
        torch.testing.assert_close(p.detach().double(), values[name], rtol=1e-5, atol=1e-6)
        if config.momentum:
            torch.testing.assert_close(-found[p].double(), speeds[name], rtol=1e-5, atol=1e-7)


def test_a_drop_leaves_the_velocity_alone():
    """With the rate outside the velocity (torch's own use) the step after a drop would shrink tenfold at once."""
    network = nn.Sequential()
    network.fc = nn.Linear(1, 1, bias=False)
    config = Optimiser(weight_decay=0.0)
    rule = learning_rule(network, config)
    weight = network.fc.weight
    weight.grad = torch.ones_like(weight)
    set_rates(rule, config, Factors())
    rule.step()
    before = weight.item()
    weight.grad = torch.zeros_like(weight)
    set_rates(rule, config, Factors(0.1, 0.1))
    rule.step()
    assert weight.item() - before == pytest.approx(-0.9 * 0.01, rel=1e-6)


def test_frozen_layers_take_no_gradient_and_no_step():
    network = TwoLayers()
    rule = learning_rule(network, Optimiser(frozen=("conv1",)))
    assert [group["name"] for group in rule.param_groups] == ["fc8.weight", "fc8.bias"]
    assert not network.conv1.weight.requires_grad
    assert network.fc8.weight.requires_grad


@pytest.mark.parametrize("field", [{"rates": {"fc9": 1.0}}, {"decays": {"fc9": 1.0}}, {"frozen": ("fc9",)}])
def test_an_unknown_layer_is_named_with_the_nearest(field):
    with pytest.raises(InputError, match=r"'fc9'.*did you mean 'fc8'"):
        learning_rule(TwoLayers(), Optimiser(**field))


@pytest.mark.parametrize("field", [{"momentum": 1.0}, {"momentum": -0.1}, {"learning_rate": -1.0}])
def test_impossible_numbers_are_refused(field):
    with pytest.raises(InputError, match=r"optimiser\."):
        Optimiser(**field)
