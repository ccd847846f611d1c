"""The one exception for bad input: a sentence that names the file or field and the way out; and counts in words."""


class InputError(Exception):
    """One clear sentence for the user; the command line prints it without a traceback and exits with 1."""


def counted(number: int, one: str, several: str = "") -> str:
    """A number with its noun, "1 file" or "1,024 files"; `several` is the plural where it is not `one` and an s."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
