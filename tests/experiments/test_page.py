"""The part of a page between its marks: written from result files, and nothing else touched."""

import pytest

from alexnet.errors import InputError
from alexnet.experiments import page


def result(name="norm", **changes):
    recipe = {"name": "imagenette", "model": {"norm": True, "width": 0.5}, "seeds": {"weights": 0}}
    bare = {**recipe, "model": {"norm": False, "width": 0.5}}
    return {
        "experiment": name,
        "section": "3.3",
        "claim": "The norm helps.",
        "paper": "1.4 points",
        "ours": "0.3 points",
        "verdict": "not testable here",
        "reason": "too few seeds.",
        "rule": "above 0.",
        "tables": {"Errors": [{"network": "a|b", "error": 0.123456, "seed": 0, "note": None}]},
        "figures": [f"{name}-errors.png"],
        "remarks": ["Trained on 9 photographs."],
        "budget": {"name": "reduced", "epochs": 0.25, "width": 0.5, "seeds": 2},
        "data": {"name": "set", "counts": {"train": 9469, "val": 10}, "classes": 10, "split": "val"},
        "recipes": {
            "a-0": {"recipe": recipe, "changes": {"model.width": 0.5, "seeds.data": 1}},
            "a-1": {"recipe": {**recipe, "seeds": {"weights": 1}}, "changes": {"model.width": 0.5}},
            "b-0": {"recipe": bare, "changes": {"model.width": 0.5, "model.norm": False}},
        },
        "seconds": 6.0,
        "training_seconds": 600.0,
        "device": "cpu",
        "device_name": "a processor",
        "commit": "0123456789abcdef",
        **changes,
    }


@pytest.fixture
def marked(tmp_path):
    file = tmp_path / "docs" / "results.md"
    file.parent.mkdir()
    file.write_text(f"# Before\n\n{page.BEGIN}\nold\n{page.END}\n\nAfter.\n")
    return file


def test_a_figure_that_was_left_out_is_no_dead_link(marked, tmp_path):
    page.write(marked, [result()], tmp_path / "results")
    assert "The figure norm-errors.png is not kept here; the command draws it." in marked.read_text()
    assert "![" not in marked.read_text()


def test_photographs_are_told_of_and_not_linked(marked, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "norm-errors.png").touch()
    page.write(marked, [{**result(), "shows_photographs": True}], tmp_path / "results")
    assert "Its figures (norm-errors.png) show photographs" in marked.read_text()
    assert "![" not in marked.read_text()


def test_only_what_lies_between_the_marks_is_written(marked, tmp_path):
    page.write(marked, [result()], tmp_path / "results")
    text = marked.read_text()
    assert text.startswith(f"# Before\n\n{page.BEGIN}\n\n1 claim: 1 not testable here. A budget's shares are of ")
    assert text.endswith(f"\n\n{page.END}\n\nAfter.\n")
    assert "old" not in text
    page.write(marked, [result()], tmp_path / "results")
    assert marked.read_text() == text


def test_a_result_tells_claim_verdict_rule_numbers_data_recipes_and_time(marked, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "norm-errors.png").touch()
    page.write(marked, [result(), result("other", data=None, recipes={}, training_seconds=0)], tmp_path / "results")
    text = marked.read_text()
    for part in (
        "| claim | section | paper | ours | verdict | data and budget |\n| --- |",
        "| [The norm helps.](#norm) | 3.3 | 1.4 points | 0.3 points | not testable here | set; reduced: 2 seeds, 0.25 ",
        "| [The norm helps.](#other) | 3.3 | 1.4 points | 0.3 points | not testable here | nothing is trained |",
        "### norm\n\nSection 3.3. The norm helps.\n\n- The paper: 1.4 points.\n- Ours: 0.3 points.",
        "- **Not testable here**: too few seeds.",
        "- The rule: above 0.",
        "Errors:\n\n| network | seed | error | note |",
        "| a\\|b | 0 | 0.1235 |  |",
        "![norm-errors](../results/norm-errors.png)",
        "Data: set (9,469 train, 10 val; 10 classes; errors on val).",
        "Budget reduced: 2 seeds, 0.25 of the epochs, 0.5 of the width.",
        "- `imagenette` with `model.width` 0.5 (2 runs)",
        "- `imagenette` with, against the first, `model.norm` False (1 run)",
        "Remarks:\n\n- Trained on 9 photographs.",
        "10 minutes of training on a processor (cpu); commit 0123456789ab.",
        "6 seconds on a processor (cpu)",
    ):
        assert part in text, part


def written(marked, *results, waiting=()):
    page.write(marked, results, marked.parents[1] / "results", waiting)
    return marked.read_text()


def test_a_result_on_another_set_has_a_section_and_is_not_counted_as_a_claim(marked):
    there = {"name": "Moths", "counts": {"train": 9}, "classes": 2, "split": "val"}
    text = written(marked, result(), result(file="norm-on-Moths.json", data=there, verdict="reproduced"))
    assert "1 claim: 1 not testable here. On other sets: 1 result more, not counted here." in text
    assert "| [The norm helps.](#norm-on-moths) |" in text
    assert "### norm\n" in text
    assert "### norm on Moths\n" in text


def test_the_first_of_what_was_trained_is_nearest_to_the_others_whatever_it_changes(marked):
    """Three recipes of one change each to the middle one, which itself changes most in its named recipe."""
    used = {name: whole_entry() for name in "abcd"}
    for name, field in (("a", "norm"), ("b", "width"), ("d", "towers")):
        used[name] = {"recipe": {**used[name]["recipe"], "model": {**MODEL, field: None}}, "changes": {}}
    used["c"] = {"recipe": {**used["c"]["recipe"], "model": MODEL}, "changes": {"model.norm": True, "model.towers": 2}}
    text = written(marked, result(recipes=used))
    assert "Trained:\n\n- `imagenette` with `model.norm` True, `model.towers` 2 (1 run)\n" in text
    assert "- `imagenette` with, against the first, `model.width` none (1 run)" in text


MODEL = {"norm": True, "width": 0.5, "towers": 2}


def test_of_two_recipes_the_first_is_that_which_changes_less_whatever_the_order(marked):
    text = written(marked, result(recipes={"a": bare_entry(), "b": whole_entry()}))
    assert "Trained:\n\n- `imagenette` with `model.width` 0.5 (1 run)\n" in text
    other = {"recipe": bare_entry()["recipe"]}  # of no named recipe
    text = written(marked, result(recipes={"a": other, "b": whole_entry()}))
    assert "Trained:\n\n- `imagenette` with `model.width` 0.5 (1 run)\n- `imagenette` with, against" in text
    assert "against the first, `model.norm` False (1 run)" in text


def whole_entry():
    recipe = {"name": "imagenette", "model": {"norm": True, "width": 0.5}, "seeds": {"weights": 0}}
    return {"recipe": recipe, "changes": {"model.width": 0.5}}


def bare_entry(seed=0):
    recipe = {"name": "imagenette", "model": {"norm": False, "width": 0.5}, "seeds": {"weights": seed}}
    return {"recipe": recipe, "changes": {"model.width": 0.5, "model.norm": False}}


def test_a_recipes_sections_are_told_in_words(marked):
    drops = [{"class": "Milestone", "epoch": 0.5, "weights": 0.1, "layers": None}, {"epoch": 0.75, "weights": 0.01}]
    entry = {**whole_entry(), "changes": {"schedule.milestones": drops, "model.kernels": [48, 128]}}
    text = written(marked, result(recipes={"a": entry}))
    assert "`schedule.milestones` epoch 0.5 weights 0.1; epoch 0.75 weights 0.01, `model.kernels` [48, 128]" in text


def test_tables_keep_the_order_of_their_columns(marked):
    rows = [{"seed": n, "error": 0.5, "net": "a"} for n in range(13)]
    text = written(marked, result(tables={"B": rows[:12], "A": rows}, columns=[["B", ["seed", "net", "error"]]]))
    assert "B:\n\n| seed | net | error |" in text
    assert "A:" not in text
    text = written(marked, result(tables={"A": rows}))
    assert "A:\n\n| net | seed | error |" in text
    assert text.count("| a | ") == 13


def test_what_a_claim_used_is_below_one_click_after_its_verdict_and_figure(marked):
    first, second = written(marked, result(), result("other", data=None)).split("### ")[1:]
    for text in (first, second):
        shown, _, folded = text.partition("\n\n<details><summary>Tables, ")
        for part in ("- The paper: ", "- **Not testable here**: ", "- The rule: ", "- The command: ", "The figure "):
            assert text.count(part) == shown.count(part) == 1, part
        for part in ("Errors:\n\n|", "Trained:\n\n-", "Remarks:\n\n-", "; commit 0123"):
            assert text.count(part) == folded.count(part) == 1, part
        assert folded.partition("\n\n</details>\n\n")[2] in ("", f"{page.END}\n\nAfter.\n")


def test_the_command_computes_as_much_again_on_any_machine(marked):
    reduced = result()["budget"]
    data = {**result()["data"], "elsewhere": ["hundred"]}
    for changes, words in (
        ({}, "`alexnet reproduce norm --data set --seeds 2 --epochs 0.25 --width 0.5`\n"),
        ({"budget": {**reduced, "epochs": 1.0, "rates": [0.5, 2]}}, "--epochs 1 --width 0.5 --rates 0.5 2`\n"),
        ({"data": data}, "--data set --pretrain-data hundred --seeds 2"),
        ({"data": None}, "`alexnet reproduce norm`\n"),
    ):
        assert words in written(marked, result(**changes)), words


def test_what_is_not_run_and_how_many_verdicts_there_are_is_told_first(marked):
    text = written(marked, result(), result("other", verdict="reproduced"), waiting=["towers", "tanh"])
    assert "2 claims: 1 not testable here, 1 reproduced. Not run yet: towers, tanh." in text
    assert "No claim has been measured. Not run yet: tanh." in written(marked, waiting=["tanh"])


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 second "), (99, "99 seconds "), (600, "10 minutes "), (7200, "2.0 hours ")]
)
def test_times_in_words(marked, seconds, words):
    assert f" {words}of training on a processor" in written(marked, result(training_seconds=seconds))


def test_a_note_of_the_set_and_the_fitting_of_rivals_are_told(marked):
    data = {**result()["data"], "note": "Squashed by their maker."}
    text = written(marked, result(data=data, fitting_seconds=7200))
    assert "errors on val). Squashed by their maker. Budget" in text
    assert "10 minutes of training and 2.0 hours of fitting rivals on a processor" in text
    assert "fitting rivals" not in written(marked, result())


def test_changes_and_the_commits_of_the_runs_are_told(marked):
    measuring, other = "0123456789abcdef+changes", "fedcba9876543210"
    for runs, words in (
        ([measuring], "commit 0123456789ab+changes."),
        ([measuring, other], "commit 0123456789ab+changes, trained by fedcba987654."),
        ([f"{other}+changes"], "commit 0123456789ab+changes, trained by fedcba987654+changes."),
    ):
        assert words in written(marked, result(commit=measuring, run_commits=runs))
    text = written(marked, result(commit=measuring, run_commits=[other], kept_commits=[measuring, other]))
    assert "+changes, trained by fedcba987654, measured by fedcba987654." in text


@pytest.mark.parametrize("text", ["", "nothing", page.BEGIN, page.END + page.BEGIN])
def test_a_page_without_its_marks_is_refused_and_left_alone(tmp_path, text):
    file = tmp_path / "results.md"
    file.write_text(text)
    with pytest.raises(InputError, match="lacks the lines"):
        page.write(file, [], tmp_path)
    assert file.read_text() == text
