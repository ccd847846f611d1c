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
            "b-0": {"recipe": bare, "changes": {}},
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


def test_only_what_lies_between_the_marks_is_written(marked, tmp_path):
    page.write(marked, [result()], tmp_path / "results")
    text = marked.read_text()
    assert text.startswith(f"# Before\n\n{page.BEGIN}\n\n| section |")
    assert text.endswith(f"\n\n{page.END}\n\nAfter.\n")
    assert "old" not in text
    page.write(marked, [result()], tmp_path / "results")
    assert marked.read_text() == text


def test_a_result_tells_claim_verdict_rule_numbers_data_recipes_and_time(marked, tmp_path):
    page.write(marked, [result(), result("other", data=None, recipes={}, training_seconds=0)], tmp_path / "results")
    text = marked.read_text()
    for part in (
        "| 3.3 | [The norm helps.](#norm) | 1.4 points | 0.3 points | not testable here |",
        "### norm\n\nSection 3.3: The norm helps. The paper: 1.4 points. Ours: 0.3 points.",
        "**Not testable here.** too few seeds.",
        "The rule, fixed beforehand: above 0.",
        "| a\\|b | 0.1235 | 0 |  |",
        "![The norm helps.](../results/norm-errors.png)",
        "Data: set (9,469 train, 10 val; 10 classes; errors on val).",
        "Budget reduced: 0.25 of the epochs, 0.5 of the width, 2 seed(s).",
        "- `imagenette` with `model.width` 0.5 (2 runs)",
        "- `imagenette` with, against the first, `model.norm` False (1 run)",
        "Trained on 9 photographs.",
        "10 minutes of training on a processor (cpu); commit 0123456789ab.",
        "0.1 minutes on a processor (cpu)",
    ):
        assert part in text, part


def test_changes_and_the_commits_of_the_runs_are_told(marked, tmp_path):
    measuring, other = "0123456789abcdef+changes", "fedcba9876543210"
    for runs, words in (
        ([measuring], "commit 0123456789ab+changes."),
        ([measuring, other], "commit 0123456789ab+changes, trained by fedcba987654."),
        ([f"{other}+changes"], "commit 0123456789ab+changes, trained by fedcba987654+changes."),
    ):
        page.write(marked, [result(commit=measuring, run_commits=runs)], tmp_path / "results")
        assert words in marked.read_text()


@pytest.mark.parametrize("text", ["", "nothing", page.BEGIN, page.END + page.BEGIN])
def test_a_page_without_its_marks_is_refused_and_left_alone(tmp_path, text):
    file = tmp_path / "results.md"
    file.write_text(text)
    with pytest.raises(InputError, match="lacks the lines"):
        page.write(file, [], tmp_path)
    assert file.read_text() == text
