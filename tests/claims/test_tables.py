"""Tables 1 and 2: gaps against loops, the rule's three verdicts, the rows that are missing, whole runs."""

import json
import math
import statistics
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from alexnet import cli, config, recipes
from alexnet.claims import tables
from alexnet.claims.tables import Row, gap, judge, row
from alexnet.errors import InputError
from alexnet.experiments import pretraining, rivals
from alexnet.experiments.bench import Bench, Budget
from alexnet.experiments.comparison import Difference
from alexnet.files import read_json

IMAGES = 200


def errors(seed, error):
    return torch.from_numpy((np.random.default_rng(seed).random(IMAGES) < error).astype(float))


def a_row(*given):
    return Row("a", tuple(errors(seed, error) for seed, error in given), (0.0,) * len(given))


def test_a_row_is_the_errors_of_answers_and_their_means():
    given = [torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]), torch.tensor([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])]
    found = row("1 CNN", given, torch.tensor([0, 2]), "40.7 %")
    assert [each.tolist() for each in found.top1] == [[0.0, 0.0], [1.0, 0.0]]
    line = found.line()
    assert (line["top-1 error"], line["top-5 error"], line["runs"], line["paper"]) == (0.25, 0.0, 2, "40.7 %")
    assert line["± between runs"] == pytest.approx(statistics.stdev([0.0, 0.5]))
    assert row("1 CNN", given[:1], torch.tensor([0, 2]), "").line()["± between runs"] is None


def test_a_gap_of_runs_has_welchs_error():
    left, right = a_row((1, 0.5), (2, 0.45), (3, 0.6)), a_row((4, 0.2), (5, 0.3))
    found = gap(left, right)
    means = [[float(e.mean()) for e in each.top1] for each in (left, right)]
    parts = [statistics.variance(m) / len(m) for m in means]
    assert found.mean == pytest.approx(statistics.mean(means[0]) - statistics.mean(means[1]))
    assert found.of_seeds == pytest.approx(math.sqrt(sum(parts)))
    assert found.freedom == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 1))


def test_a_gap_is_never_surer_than_the_images_allow():
    same = Row("a", (errors(1, 0.5), errors(1, 0.5)), (0.0, 0.0))
    rival = a_row((2, 0.7))
    found = gap(rival, same)
    each = (rival.top1[0] - same.top1[0]).tolist()
    assert found.standard_error == pytest.approx(statistics.pstdev(each) / math.sqrt(IMAGES))
    assert found.mean == pytest.approx(statistics.mean(each))
    assert (found.seeds, found.images) == (2, IMAGES)
    alone = gap(rival, a_row((1, 0.5)))
    assert (alone.seeds, alone.of_seeds) == (1, 0.0)


def test_one_network_decides_nothing_against_a_rival_or_others():
    rival, one, more = a_row((2, 0.7)), replace(a_row((1, 0.2)), networks=1), replace(a_row((4, 0.9)), networks=5)
    assert math.isfinite(gap(rival, more).standard_error), "an average of several"
    for pair in ((rival, one), (more, one), (one, more)):
        found = gap(*pair)
        assert found.standard_error == math.inf
        verdict = judge({"gaps": {"it": found.to_json()}, "missing": {}, "error": 0.2, "guessing": 0.9})
        assert (verdict.verdict, "one run of each" in verdict.reason) == ("not testable here", True)


class FakeTables:
    """One network's answers, the same for every run."""

    split = "val"
    prepared = SimpleNamespace(classes="ab")


@pytest.mark.parametrize("count", [1, 3])
def test_rows_know_of_how_many_networks_they_are(monkeypatch, count):
    given = torch.tensor([[0.6, 0.4]])
    monkeypatch.setattr(tables.averaging, "answers", lambda *_: given)
    monkeypatch.setattr(tables.averaging, "labels_of", lambda *_: torch.tensor([0]))
    monkeypatch.setattr(tables.averaging, "fitted_apart", lambda *_: (given, [[1.0] * count]))
    single = tables._each(FakeTables(), "1 CNN", [None] * count, "")
    averaged, _ = tables._averaged(FakeTables(), "CNNs", [None] * count, "")
    assert {each.networks for each in (single, *averaged)} == {count}


def numbers(*means, missing=(), error=0.01):
    gaps = {f"gap {i}": Difference(mean, 0.0, error, 1, 1, 2000).to_json() for i, mean in enumerate(means)}
    absent = {f"missing {i}": sentence for i, sentence in enumerate(missing)}
    return {"gaps": gaps, "missing": absent, "error": 0.3, "guessing": 0.9}


@pytest.mark.parametrize(
    ("given", "verdict", "says"),
    [
        (numbers(0.05, 0.08), "reproduced", "gap 1"),
        (numbers(0.05, -0.03), "not reproduced", "gap 1"),
        (numbers(0.05, 0.0, error=0.002), "not reproduced", "gap 1"),
        (numbers(0.05, 0.01), "not testable here", "so far: gap 0"),
        (numbers(0.05, 0.08, missing=["no set to pretrain on"]), "not testable here", "no set to pretrain on"),
        (numbers(-0.05, 0.08, missing=["no set to pretrain on"]), "not reproduced", "gap 0"),
        (numbers(missing=["baselines need kornia"]), "not testable here", "kornia"),
    ],
)
def test_each_verdict_is_possible(given, verdict, says):
    found = judge(given)
    assert found.verdict == verdict
    assert says in found.reason


def test_networks_that_learnt_nothing_tell_nothing():
    assert judge({**numbers(0.05, -0.03), "error": 0.85}).verdict == "not testable here"


def test_one_gap_that_fails_is_the_one_that_is_told():
    assert "gap 0" not in judge(numbers(0.05, -0.03)).reason


def test_fine_tuning_has_the_authors_rates_relative_to_the_base():
    base = recipes.named("imagenette")
    tuned = pretraining.finetuning(base)
    assert tuned.model.conv6
    assert tuned.optimiser.learning_rate == pytest.approx(base.optimiser.learning_rate / 10)
    assert (tuned.loader, tuned.precision, tuned.views) == (base.loader, base.precision, base.views)
    paper = pretraining.finetuning(recipes.named("paper-2012"))
    assert paper.optimiser.learning_rate == pytest.approx(0.001)
    assert {name for name, _, _ in config.difference(base, pretraining.six_convs(base))} == {"model.conv6"}


@pytest.mark.parametrize(
    ("validation", "training", "nothing"), [(0.9, 0.1, True), (0.5, 0.9, False), (None, 0.9, True), (None, 0.1, False)]
)
def test_pretraining_that_taught_nothing_is_told_of(tmp_path, monkeypatch, validation, training, nothing):
    told = {"event": "epoch", "training": {"top1_error": training}}
    told["validation"] = None if validation is None else {"top1_error": validation}
    (tmp_path / "journal.jsonl").write_text(f"{json.dumps(told)}\n")
    others = {} if validation is None else {"val": 9}
    monkeypatch.setattr(pretraining.PreparedSet, "open", lambda path: FakeSet(9, **others))
    base = recipes.named("imagenette")
    run = SimpleNamespace(path=tmp_path)
    bench = SimpleNamespace(pretrain=tmp_path / "moths", base=base, train=lambda recipe, seed, data: run)
    why = pretraining.untaught(bench)
    assert (why is not None) == nothing
    if why:
        assert why.startswith("pretrained on moths, the network errs on 0.900")


def test_a_share_takes_as_many_steps():
    base = recipes.named("imagenette")
    eighth = pretraining.with_share(base, 1 / 8)
    assert eighth.loader.share == 1 / 8
    assert eighth.schedule.epochs == 8 * base.schedule.epochs
    assert eighth.schedule.warmup == 8 * base.schedule.warmup
    within = Budget("reduced", epochs=0.5).shrink(eighth)
    assert within.schedule.epochs == 8 * 20
    assert pretraining.with_share(base, 1.0) == base
    same = replace(base, schedule=eighth.schedule, loader=replace(base.loader, share=1 / 8))
    assert eighth == same


class FakeSet:
    classes = tuple("abcdefghij")

    def __init__(self, train, **others):
        self.counts = {"train": train, **others}

    def split(self, name):
        return SimpleNamespace(labels=np.arange(IMAGES) % 10)


@pytest.mark.parametrize(
    ("train", "share", "expected"), [(9469, 1.0, None), (9469, 0.125, 118), (1_000_000, 1.0, 13_000), (30, 0.01, 1)]
)
def test_a_rival_is_fitted_to_the_share_and_not_to_more_than_can_lie_in_a_file(train, share, expected):
    class FakeBench:
        prepared = FakeSet(train)

    assert rivals._per_class(FakeBench(), share) == expected


def test_what_a_rival_found_is_kept_by_its_settings_and_its_share(monkeypatch, tmp_path):
    """Other settings, or a trial's coarse ones, are fitted anew; the same are not."""
    from alexnet.baselines import fit, pipelines

    fits = []

    def compute(bench, rival, pipeline, per_class):
        fits.append(pipeline)
        one = torch.ones(1, dtype=torch.float64)
        return {"top1_errors": one, "top5_error": one.sum(), "images": torch.tensor(7)}

    monkeypatch.setattr(fit, "require_packages", lambda: None)
    monkeypatch.setattr(rivals, "_compute", compute)
    bench = Bench(tmp_path, tmp_path, Budget("reduced"))
    bench.__dict__["prepared"] = SimpleNamespace(
        counts={"train": 30, "val": 1}, classes="ab", fingerprint="f", path=tmp_path
    )
    for times in (1, 1):
        assert rivals.measured(bench, "fisher-vectors").images == 7
        assert len(fits) == times
    other = replace(pipelines.named("fisher-vectors"), grid=replace(pipelines.named("fisher-vectors").grid, stride=99))
    with monkeypatch.context() as changed:
        changed.setattr(pipelines, "named", lambda _: other)
        rivals.measured(bench, "fisher-vectors")
    rivals.measured(replace_budget(bench, "smoke"), "fisher-vectors")
    assert [each.grid.stride for each in fits] == [fits[0].grid.stride, 99, 32]


def replace_budget(bench, name):
    other = Bench(bench.data, bench.runs, Budget(name))
    other.__dict__["prepared"] = bench.prepared
    return other


@pytest.mark.parametrize(("train", "capped"), [(130_000, False), (130_001, True)])
def test_a_rival_of_fewer_images_has_its_row_and_no_gap(monkeypatch, train, capped):
    class FakeBench:
        prepared = FakeSet(train)
        split = "val"

    found = rivals.Rivalled(errors(1, 0.5), 0.1, 130_000)
    monkeypatch.setattr(rivals, "measured", lambda *_: found)
    sparse, fisher = (tables._rival(FakeBench(), name, "fisher-vectors", "") for name in ("sparse", "Fisher"))
    cnn = replace(a_row((4, 0.2)), networks=5)
    gaps = {"sparse - Fisher": (sparse, fisher), "Fisher - CNN": (fisher, cnn)}
    measured = tables._measured(FakeBench(), [sparse, fisher, cnn], gaps, cnn, ())
    assert set(measured.numbers["gaps"]) == {"sparse - Fisher"} | ({"Fisher - CNN"} if not capped else set())
    assert [line["training images"] for line in measured.numbers["rows"]] == [
        *[130_000 if capped else "all"] * 2,
        "all",
    ]
    assert any("Fisher: fitted to 130,000" in remark for remark in measured.remarks) == capped
    told = {line["gap"]: line for line in measured.tables["Gaps, top-1 error"]}
    assert (told["sparse - Fisher"]["points"], told["sparse - Fisher"]["alone"]) == ("+0.0", "not reproduced")
    assert told["Fisher - CNN"]["alone"].startswith("not taken: Fisher was" if capped else "reproduced")
    if capped:
        assert measured.numbers["missing"] == {"Fisher - CNN": "Fisher was fitted to 130,000 training images only"}


def test_a_rival_that_is_not_installed_is_a_sentence_in_the_table(monkeypatch):
    from alexnet.baselines import fit

    def absent():
        raise InputError("baselines need the package kornia: pip install 'alexnet[baselines]'.")

    monkeypatch.setattr(fit, "require_packages", absent)
    assert "kornia" in tables._rival(None, "sparse coding", "sparse-coding", "47.1 %")


@pytest.mark.slow
def test_smoke_of_both_tables_is_whole_and_kept(tmp_path):
    pytest.importorskip("kornia", reason="the rivals need the extra `baselines`")
    where = ["--smoke", "--results", str(tmp_path), "--machine.threads", "1"]
    assert cli.main(["reproduce", "table1", *where]) == 0
    assert cli.main(["reproduce", "table2", *where]) == 0
    first, second = (read_json(tmp_path / "smoke" / f"table{i}.json") for i in (1, 2))
    rows, _ = first["tables"].values()
    assert [line["model"] for line in rows] == [
        *("sparse coding", "SIFT + Fisher vectors", "CNN, centre view", "CNN, ten views")
    ]
    rows, _ = second["tables"].values()
    assert [line["runs"] for line in rows] == [1, 2, 1, 1, 2, 1, 1]
    gaps, missing = (set(second["numbers"][part]) for part in ("gaps", "missing"))
    assert len(gaps) + len(missing) == 6
    # In two steps pretraining may have taught something or nothing.
    fisher = "SIFT + Fisher vectors"
    assert missing <= {"1 CNN - pretrained CNN", f"{fisher} - pretrained CNN", f"{fisher} - all CNNs averaged"}
    assert len(second["recipes"]) == 6
    again = (tmp_path / "smoke" / "table2.json").stat().st_mtime_ns
    assert cli.main(["reproduce", "table2", *where]) == 0
    assert (tmp_path / "smoke" / "table2.json").stat().st_mtime_ns > again
    assert read_json(tmp_path / "smoke" / "table2.json")["numbers"] == second["numbers"]
