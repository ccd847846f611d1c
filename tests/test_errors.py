"""Numbers in sentences."""

from alexnet.errors import counted


def test_one_is_singular_and_all_else_plural():
    assert [counted(n, "file") for n in (0, 1, 2, 1024)] == ["0 files", "1 file", "2 files", "1,024 files"]
    assert [counted(n, "class has", "classes have") for n in (1, 3)] == ["1 class has", "3 classes have"]
