"""Network: towers, placement, stages, dropout, weights as files have them."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.errors import InputError
from alexnet.model.alexnet import AlexNetConfig, Initialisation
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.network import Network, facts

HE = Initialisation("he", bias=0.1)
SMALL = AlexNetConfig(classes=7, input=67, width=1 / 8, initialisation=HE, norm_alpha=1e-2)


def made(config: AlexNetConfig | Cifar10Config = SMALL, seed: int = 3) -> Network:
    network = Network(config)
    network.initialise(seed)
    return network


def images(count: int = 3, side: int = 67) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0)) * 3


KEYS = torch.tensor([11, 12, 13])


def separate_towers(network: Network, x: Tensor) -> Tensor:
    """The logits, each tower computed by itself from its half of the weights, without dropout but its factor."""
    w = network.whole()
    halves = {name: tensor.chunk(2) for name, tensor in w.items()}
    row = {row.name: row for row in network.rows}

    def conv(maps: list[Tensor], name: str, stride: int, pad: int) -> list[Tensor]:
        pairs = zip(maps, *(halves[f"{name}.{part}"] for part in ("weight", "bias")), strict=True)
        return [F.relu(F.conv2d(m, weight, bias, stride, pad)) for m, weight, bias in pairs]

    def norm(maps: Tensor, name: str) -> Tensor:
        r = row[name]
        return F.local_response_norm(maps, r.n, r.alpha * r.n, r.beta, r.k)

    def pool(maps: Tensor) -> Tensor:
        return F.max_pool2d(maps, 3, 2, ceil_mode=True)

    after = row["conv1"].after
    maps = conv([F.pad(x, (0, after, 0, after))] * 2, "conv1", 4, 0)
    maps = conv([pool(norm(m, "norm1")) for m in maps], "conv2", 1, 2)
    maps = conv([torch.cat([pool(norm(m, "norm2")) for m in maps], 1)] * 2, "conv3", 1, 1)
    maps = conv(conv(maps, "conv4", 1, 1), "conv5", 1, 1)
    units = torch.cat([pool(m) for m in maps], 1).flatten(1)
    for name in ("fc6", "fc7"):
        parts = zip(*(halves[f"{name}.{part}"] for part in ("weight", "bias")), strict=True)
        units = torch.cat([F.relu(F.linear(units, weight, bias)) * 0.5 for weight, bias in parts], 1)
    return F.linear(units, w["fc8.weight"], w["fc8.bias"])


def test_grouped_equals_towers_apart_equals_placed() -> None:
    network = made().eval()
    x = images()
    logits = network(x)
    assert logits.std() > 1e-3
    torch.testing.assert_close(logits, separate_towers(network, x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.place(["cpu", "cpu"])(x), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"communication": False},
        {"conv6": True, "bottleneck": 16},
        {"dropout_before": True, "dropout_scaling": "inverted"},
        {"order1": "norm pool relu", "same_map_norm": True, "order5": "pool relu"},
        {"without": ("conv1",)},
    ],
)
def test_placed_trains_like_unplaced_dropout_included(change: dict) -> None:
    config = dataclasses.replace(SMALL, **change)
    whole, placed = made(config).train(), made(config).place(["cpu", "cpu"]).train()
    outputs = [network(images(), KEYS) for network in (whole, placed)]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    for output in outputs:
        output.square().sum().backward()
    gradients = [n.whole_of({p: p.grad for p in n.parameters()}) for n in (whole, placed)]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()))


def test_place_keeps_weights_and_returns() -> None:
    network = made()
    before = network.whole()
    assert next(iter(network.place(["cpu", "cpu"]).state_dict())) == "tower1.conv1.weight"
    assert set(network.whole_names().values()) == set(before)
    network.place(["cpu"])
    assert {name: p.shape for name, p in network.named_parameters()} == {name: t.shape for name, t in before.items()}
    for name, tensor in network.whole().items():
        assert torch.equal(tensor, before[name])
        assert tensor.is_contiguous()


def test_place_refuses() -> None:
    with pytest.raises(InputError, match="norm1 reaches across towers"):
        made(dataclasses.replace(SMALL, norm_across=True)).place(["cpu", "cpu"])
    with pytest.raises(InputError, match="1 tower"):
        made(dataclasses.replace(SMALL, towers=1)).place(["cpu", "cpu"])


def test_stages_have_the_rows_names_and_are_not_overwritten() -> None:
    network = made().eval()
    names = "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2 conv3 relu3 conv4 relu4 conv5 relu5 pool5"
    stages = network.stages(images())
    assert list(stages) == f"{names} fc6 relu6 drop6 fc7 relu7 drop7 fc8".split()
    assert (stages["conv1"] < 0).any()
    assert torch.equal(stages["relu1"], F.relu(stages["conv1"]))
    assert {name: tuple(t.shape[1:]) for name, t in stages.items()} == {f.name: f.shape for f in facts(SMALL)}
    assert torch.equal(stages["fc8"], network(images()))
    for name, tensor in network.place(["cpu", "cpu"]).stages(images()).items():
        torch.testing.assert_close(tensor, stages[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("placed", [False, True])
def test_stages_only_and_edit(placed: bool) -> None:
    network = made().eval()
    if placed:
        network.place(["cpu", "cpu"])
    seen = network.stages(images(), only=["conv3", "fc8"], edit={"conv3": torch.zeros_like})
    assert list(seen) == ["conv3", "fc8"]
    assert not seen["conv3"].any()
    untouched = network.stages(images(), only=["fc8"])["fc8"]
    assert not torch.allclose(seen["fc8"], untouched)
    rows_run = []
    network.get_submodule("tower1.conv4" if placed else "conv4").register_forward_hook(lambda *_: rows_run.append(1))
    network.stages(images(), only="conv3")
    assert not rows_run
    with pytest.raises(InputError, match="did you mean 'conv3'"):
        network.stages(images(), only=["conv33"])


def test_hooks_of_other_tools_see_the_stages() -> None:
    network, seen = made().eval(), {}
    for row in network.rows:
        network.get_submodule(row.name).register_forward_hook(
            lambda _, __, out, name=row.name: seen.update({name: out})
        )
    stages = network.stages(images())
    assert list(seen) == list(stages)
    assert all(torch.equal(seen[name], stages[name]) for name in stages)


def test_initialise_depends_on_row_and_seed_alone() -> None:
    config = dataclasses.replace(SMALL, initialisation=Initialisation(deviation_middle=0.03, bias_last=-7.0))
    first, placed = made(config), Network(config).place(["cpu", "cpu"])
    placed.initialise(3)
    whole = first.whole()
    assert all(torch.equal(tensor, placed.whole()[name]) for name, tensor in whole.items())
    assert not torch.equal(made(config, 4).conv1.weight, first.conv1.weight)
    assert abs(float(whole["fc6.weight"].std()) - 0.01) < 2e-4
    assert abs(float(whole["conv4.weight"].std()) - 0.03) < 1e-3
    ones = {name for name, tensor in whole.items() if name.endswith("bias") and (tensor == 1).all()}
    assert ones == {"conv2.bias", "conv4.bias", "conv5.bias", "fc6.bias", "fc7.bias"}
    assert (whole["fc8.bias"] == -7).all()
    assert not whole["conv1.bias"].any()
    assert not whole["conv3.bias"].any()
    assert torch.equal(made(dataclasses.replace(config, without=("conv4",))).fc6.weight, first.fc6.weight)


def test_he_and_uniform() -> None:
    he = made(dataclasses.replace(SMALL, initialisation=Initialisation("he"))).fc7.weight
    assert abs(float(he.detach().std()) - (2 / 512) ** 0.5) < 1e-3
    uniform = made(dataclasses.replace(SMALL, initialisation=Initialisation("uniform")))
    assert 0.9 < float(uniform.fc7.weight.detach().abs().max()) * 512**0.5 <= 1
    assert uniform.fc7.bias.detach().unique().numel() > 100


def test_load_whole_names_what_is_wrong() -> None:
    network = made()
    state = network.whole()
    for change, message in (
        ({"conv2.bias": torch.zeros(3)}, r"'conv2.bias' is \[3\]; \[32\] was expected"),
        ({"conv9.bias": torch.zeros(3)}, "'conv9.bias' is no tensor"),
    ):
        with pytest.raises(InputError, match=message):
            network.load_whole(state | change)
    with pytest.raises(InputError, match=r"'fc8\.bias' is missing"):
        network.load_whole({name: tensor for name, tensor in state.items() if name != "fc8.bias"})


def test_wrong_images_are_refused() -> None:
    with pytest.raises(InputError, match=r"\[N, 3, 67, 67\] was expected"):
        made()(images(side=64))


def test_dropout_belongs_to_the_image_not_to_its_place() -> None:
    network = made().train()
    whole = network(images(), KEYS)
    torch.testing.assert_close(network(images()[1:2], KEYS[1:2]), whole[1:2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(images(), KEYS + 1), whole)
    torch.manual_seed(0)
    assert not torch.allclose(network(images()), network(images()))


@pytest.mark.parametrize(("scaling", "training", "test"), [("test", 1.0, 0.5), ("inverted", 2.0, 1.0)])
def test_dropout_scaling(scaling: str, training: float, test: float) -> None:
    network = made(dataclasses.replace(SMALL, dropout_scaling=scaling))
    drop, ones = network.drop7, torch.ones(200, 512)
    out = drop(ones, torch.arange(200))
    assert set(out.unique().tolist()) == {0.0, training}
    assert abs(float((out > 0).float().mean()) - 0.5) < 0.01
    assert (drop.eval()(ones) == test).all()


@pytest.mark.parametrize("net", ["80sec", "18pct", "13pct", "11pct", "figure1"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_cifar10_nets(net: str, activation: str) -> None:
    config = Cifar10Config(net, activation=activation)
    network = made(config)
    x = images(side=config.input)
    assert network(x).shape == (3, 10)
    network(x).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert sum(p.numel() for p in network.parameters()) == sum(f.parameters for f in facts(config))
    first = "relu1" if activation == "relu" else "tanh1"
    assert first in network.stages(x)


def test_bf16_and_compile_free_memory_formats() -> None:
    network = made().eval()
    with torch.autocast("cpu", torch.bfloat16):
        half = network(images())
    torch.testing.assert_close(half.float(), network(images()), rtol=0.1, atol=0.1)
    x = images().contiguous(memory_format=torch.channels_last)
    assert torch.equal(network(x), network(images()))


@pytest.mark.parametrize(
    "field",
    [
        *({"classes": 0}, {"width": 0.0}, {"input": 10}, {"activation": "gelu"}, {"order1": "norm relu pool"}),
        *({"kernels": (96, 256, 384, 384)}, {"without": ("conv9",)}),
    ],
)
def test_a_config_that_makes_no_sense_is_refused_by_name(field):
    (name,) = field
    with pytest.raises(InputError, match=rf"model\.{name}"):
        AlexNetConfig(**field)
