"""Section 5: the details of learning."""

import pytest
import torch

from alexnet.evaluation import metrics
from alexnet.model.alexnet import AlexNet, AlexNetConfig
from alexnet.model.network import Network
from alexnet.training.optimiser import learning_rule, rate, set_rates
from alexnet.training.recipe import Recipe
from alexnet.training.schedule import Plateau

PAPER = Recipe()


def stalled(times):
    """Validation errors that fall for three epochs, then stall so often."""
    return [0.9, 0.8, 0.7, *[0.7] * (PAPER.schedule.patience * times)]


def test_batches_of_128_by_momentum_0_9_and_decay_0_0005():
    assert (PAPER.loader.batch, PAPER.optimiser.momentum, PAPER.optimiser.weight_decay) == (128, 0.9, 0.0005)
    assert (PAPER.optimiser.bias_rate, PAPER.optimiser.bias_decay, PAPER.optimiser.rates) == (1.0, True, {})


@pytest.mark.parametrize("fused", [True, False])
def test_the_rule_as_printed_over_a_drop_of_the_rate(fused):
    """v := 0.9 v - 0.0005 ε w - ε gradient, w := w + v, on the network itself; torch's kernel fused and not."""
    network = Network(AlexNetConfig(width=1 / 32, classes=5))
    network.initialise(0)
    rule = learning_rule(network, PAPER.optimiser)
    for group in rule.param_groups:
        assert group["fused"]
        group["fused"] = fused
    w = {name: p.detach().double() for name, p in network.named_parameters()}
    v = {name: torch.zeros_like(p) for name, p in w.items()}
    generator = torch.Generator().manual_seed(1)
    for errors in [stalled(0)] * 4 + [stalled(1)] * 4 + [stalled(2)] * 2:
        epsilon = 0.01 * 0.1 ** ((len(errors) - 3) // PAPER.schedule.patience)
        set_rates(rule, PAPER.optimiser, PAPER.schedule.factors(len(errors), errors))
        for name, p in network.named_parameters():
            p.grad = torch.empty_like(p).normal_(generator=generator)  # the memory format that the fused kernel takes
            v[name] = 0.9 * v[name] - 0.0005 * epsilon * w[name] - epsilon * p.grad.double()
            w[name] = w[name] + v[name]
        rule.step()
    for name, p in network.named_parameters():
        torch.testing.assert_close(p.detach().double(), w[name], rtol=1e-5, atol=1e-6)


def test_the_rate_starts_at_0_01_and_is_divided_by_10_three_times_as_validation_stalls():
    assert isinstance(PAPER.schedule, Plateau)
    found = []
    for times in range(5):
        factors = PAPER.schedule.factors(0, stalled(times))
        rates = {
            rate(f"{layer}.{part}", PAPER.optimiser, factors)
            for layer in ("conv1", "fc8")
            for part in ("weight", "bias")
        }
        assert len(rates) == 1, "one rate for all layers"
        found += rates
    assert found == pytest.approx([1e-2, 1e-3, 1e-4, 1e-5, 1e-5])
    assert PAPER.schedule.epochs == 90


def test_weights_start_at_deviation_0_01_and_five_biases_at_1():
    whole = AlexNet().whole()
    ones = {"conv2", "conv4", "conv5", "fc6", "fc7"}
    for name, tensor in whole.items():
        layer, part = name.split(".")
        if part == "weight":
            assert float(tensor.std()) == pytest.approx(0.01, rel=0.02)
            assert abs(float(tensor.mean())) < 5 * 0.01 / tensor.numel() ** 0.5
        else:
            assert tensor.unique().tolist() == [float(layer in ones)]


def test_the_objective_is_the_mean_log_probability_of_the_true_label():
    """Sections 3 and 5: as a sum over images, which the step divides by the batch."""
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 3, 1, 1, 2, 0])
    expected = [-torch.log(torch.exp(x[y]) / torch.exp(x).sum()) for x, y in zip(logits, labels, strict=True)]
    assert metrics.losses(torch.log_softmax(logits, 1), labels).tolist() == pytest.approx([float(e) for e in expected])
