"""The one exception for bad input: a sentence that names the file or field and the way out."""


class InputError(Exception):
    """One clear sentence for the user; the command line prints it without a traceback and exits with 1."""
