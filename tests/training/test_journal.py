from alexnet.training import journal
from alexnet.training.journal import Journal


def test_lines_are_cut_back_to_a_recorded_length(tmp_path):
    path = tmp_path / "journal.jsonl"
    book = Journal(path)
    book.write({"step": 1})
    length = book.flushed()
    book.write({"step": 2})
    book.close()
    assert journal.read(path) == [{"step": 1}, {"step": 2}]
    again = Journal(path, length)
    again.write({"step": 3})
    again.close()
    assert journal.read(path) == [{"step": 1}, {"step": 3}]


def test_an_unfinished_last_line_is_left_out(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"step": 1}\n{"st')
    assert journal.read(path) == [{"step": 1}]
    assert journal.read(tmp_path / "absent") == []
