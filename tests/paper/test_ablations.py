"""The nets that the paper compares itself with: each recipe changes what the paper names, and nothing else."""

import pytest

from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.network import facts
from alexnet.recipes import difference, named

CHANGES = {
    "tanh": {"model.activation"},
    "half-net": {"model.towers", "model.kernels"},
    "without-communication": {"model.communication", "model.kernels", "model.units"},
    "without-norm": {"model.norm"},
    "without-overlap": {"model.overlap"},
    "without-crops": {"views.augment", "views.horizontal"},
    "without-colour": {"views.colour"},
    "without-dropout": {"model.dropout"},
    "six-convs": {"model.conv6"},
    "fall-2011": {"model.conv6", "model.bottleneck"},
    **{f"without-conv{number}": {"model.without"} for number in range(1, 6)},
}


def table(name):
    return {fact.name: fact for fact in facts(named(name).model)}


@pytest.mark.parametrize("name", CHANGES)
def test_an_ablation_changes_one_thing(name):
    assert {entry.field for entry in difference(named("paper-2012"), named(name))} == CHANGES[name]


def test_3_1_relu_and_tanh_differ_in_their_units_alone():
    assert {entry.field for entry in difference(named("cifar10-relu"), named("cifar10-tanh"))} == {"model.activation"}
    optimiser = named("cifar10-relu").optimiser
    assert (optimiser.weight_decay, optimiser.decays) == (0.0, {}), "figure 1 is without any regularisation"


def test_3_2_one_gpu_has_half_the_kernels_but_not_in_conv5_and_the_dense_layers():
    half, whole = table("half-net"), table("paper-2012")
    for name in ("conv1", "conv2", "conv3", "conv4"):
        assert 2 * half[name].shape[0] == whole[name].shape[0]
    for name in ("conv5", "fc6", "fc7", "fc8"):
        assert half[name].shape == whole[name].shape
    assert sum(fact.parameters for fact in half.values()) == 59_798_312


def test_3_3_two_nets_on_cifar_10_with_and_without_response_norm():
    names = {name: [row.name for row in named(name).model.table()] for name in ("cifar10-13pct", "cifar10-11pct")}
    assert [name for name in names["cifar10-11pct"] if "norm" not in name] == names["cifar10-13pct"]
    assert names["cifar10-11pct"].count("norm1") == names["cifar10-11pct"].count("norm2") == 1


@pytest.mark.parametrize(
    ("net", "norms"), [("11pct", ["norm1", "norm2"]), ("18pct", ["norm1", "norm2"]), ("13pct", [])]
)
def test_without_norm_a_cifar10_net_loses_its_norms_and_nothing_else(net, norms):
    full, bare = Cifar10Config(net).table(), Cifar10Config(net, norm=False).table()
    assert [row.name for row in full if row not in bare] == norms
    assert [row for row in full if row in bare] == list(bare)


def test_3_4_pooling_without_overlap_keeps_the_size_of_what_the_dense_layers_see():
    sides = {name: fact.shape[1] for name, fact in table("without-overlap").items() if len(fact.shape) == 3}
    order = ("conv1", "pool1", "conv2", "pool2", "conv5", "pool5")
    assert [sides[name] for name in order] == [55, 28, 26, 13, 11, 6]


def test_6_1_a_sixth_convolution_over_the_last_pooling():
    six = list(table("six-convs").values())
    names = [fact.name for fact in six]
    at = names.index("conv6")
    assert (names[at - 1], names[at + 2]) == ("pool5", "fc6")
    assert (six[at].shape, six[at].parameters) == ((256, 6, 6), 590_080)


def test_7_a_middle_convolution_is_about_a_hundredth_of_the_parameters():
    """The paper says at most 1 %; conv3 has 1.45 % and conv4 1.09 %."""
    paper = facts(AlexNetConfig())
    whole = sum(fact.parameters for fact in paper)
    shares = {fact.name: fact.parameters / whole for fact in paper if fact.kind == "Convolution"}
    assert max(shares.values()) == shares["conv3"] == pytest.approx(0.01452, abs=1e-5)
    for number, share in zip(range(3, 6), (0.0109, 0.0109, None), strict=True):
        left = table(f"without-conv{number}")
        assert f"conv{number}" not in left
        if share:
            assert whole - sum(fact.parameters for fact in left.values()) == pytest.approx(share * whole, rel=0.01)
