"""Files are whole or absent, whatever happens while they are written."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alexnet import files
from alexnet.errors import InputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_aside_makes_the_file_and_its_folder(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    with files.write_aside(path) as aside:
        assert aside.parent == path.parent
        assert not path.exists()
        aside.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["file.txt"]


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), files.write_aside(path) as aside:
        aside.write_text("ne")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_failure_leaves_no_file_where_none_was(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.write_aside(tmp_path / "file.txt") as aside:
        aside.write_text("ne")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_failed_rename_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def full(self, target):
        raise OSError("no space")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        files.write_bytes(path, b"new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_the_file_is_flushed_before_the_rename_and_the_folder_after(tmp_path, monkeypatch):
    events = []
    flush, replace = files.flush, Path.replace
    monkeypatch.setattr(
        files, "flush", lambda path: (events.append("folder" if path.is_dir() else "file"), flush(path))
    )
    monkeypatch.setattr(Path, "replace", lambda self, to: (events.append("rename"), replace(self, to))[1])
    files.write_bytes(tmp_path / "file", b"x")
    assert events == ["file", "rename", "folder"]


def test_the_file_has_the_usual_permissions_not_those_of_a_temporary_file(tmp_path):
    mask = os.umask(0o022)
    try:
        files.write_bytes(tmp_path / "file", b"x")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_killed_writer_never_leaves_half_a_file(tmp_path):
    program = f"""
from pathlib import Path
from alexnet import files
number = 0
while True:
    files.write_bytes(Path({str(tmp_path)!r}) / "file", (b"%d" % (number % 10)) * 300_000)
    number += 1
"""
    path = tmp_path / "file"
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", program])
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        data = path.read_bytes()
        assert len(data) == 300_000
        assert len(set(data)) == 1


def test_json_round_trips_in_a_fixed_order_of_keys(tmp_path):
    files.write_json(tmp_path / "file.json", {"b": [1, 2.5, None], "a": "é"})
    assert (tmp_path / "file.json").read_text(encoding="utf-8") == (
        '{\n  "a": "é",\n  "b": [\n    1,\n    2.5,\n    null\n  ]\n}\n'
    )
    assert files.read_json(tmp_path / "file.json") == {"b": [1, 2.5, None], "a": "é"}


def test_json_holds_names_that_are_no_text_and_stays_valid(tmp_path):
    name = os.fsdecode(b"caf\xe9 \xff.png")
    data = {name: ["é", name, "\\udcff"]}
    files.write_json(tmp_path / "file.json", data)
    text = (tmp_path / "file.json").read_bytes()
    assert json.loads(text.decode("utf-8")) == data == files.read_json(tmp_path / "file.json")
    assert os.fsencode(files.read_json(tmp_path / "file.json")[name][1]) == b"caf\xe9 \xff.png"
    assert "é".encode() in text


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": ', b"\xff\xfe"])
def test_broken_json_is_an_input_error_that_names_the_file(tmp_path, data):
    (tmp_path / "broken.json").write_bytes(data)
    with pytest.raises(InputError, match=r"broken\.json is not valid JSON"):
        files.read_json(tmp_path / "broken.json")


def test_a_missing_json_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"absent\.json does not exist"):
        files.read_json(tmp_path / "absent.json")


def test_a_table_has_its_header_first_and_nothing_where_nothing_is_known(tmp_path):
    rows = (row for row in [[1, 0.1, None], ["a,b", 'say "a"', ""]])
    files.write_csv(tmp_path / "file.csv", ["one", "two", "three"], rows)
    assert (tmp_path / "file.csv").read_text() == 'one,two,three\n1,0.1,\n"a,b","say ""a""",\n'
    assert names(tmp_path) == ["file.csv"]


def test_checksum_is_sha256_over_blocks_and_tells_its_progress(tmp_path):
    data = os.urandom((1 << 22) + 12_345)
    (tmp_path / "file").write_bytes(data)
    seen = []
    assert files.checksum(tmp_path / "file", seen.append) == hashlib.sha256(data).hexdigest()
    assert seen == [1 << 22, 12_345]
