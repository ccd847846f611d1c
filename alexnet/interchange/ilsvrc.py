"""The classes of an imported network: ILSVRC-2012's thousand, or a list that people bring."""

import re
from pathlib import Path

from alexnet.data.shards import ClassName
from alexnet.data.synsets import ilsvrc2012
from alexnet.errors import InputError, counted

_WNID = re.compile(r"(n\d{8})\s+(\S.*)")


def read(path: Path) -> tuple[ClassName, ...]:
    """The classes in a text file, a line each in the order of the outputs.

    A line is a name; a name, a tab and words; or a wnid and words, as in Caffe's synset_words.txt.

    Raises:
        InputError: there is no such file, it is not text, empty, or names a class twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a list of classes ({error}); give a text file.") from None
    found = tuple(_named(line.strip()) for line in lines if line.strip() and not line.startswith("#"))
    several = sorted({entry.name for entry in found if [other.name for other in found].count(entry.name) > 1})
    if not found or several:
        fault = f"names {several[0]!r} twice" if several else "names no class"
        raise InputError(f"{path} {fault}; it should have a line for each of the network's outputs, in their order.")
    return found


def fitting(outputs: int, path: Path | None) -> tuple[ClassName, ...]:
    """The classes of a network with so many outputs: those in the file `path`, else ILSVRC's where there are 1000.

    Raises:
        InputError: the file names another number of them, or there are not 1000 and no file names them.
    """
    if path is None:
        if outputs != 1000:
            raise InputError(
                f"the network has {counted(outputs, 'output')}, and only ILSVRC's thousand classes are known by "
                "themselves: name these by --classes FILE, a line each."
            )
        return ilsvrc2012()
    found = read(path)
    if len(found) != outputs:
        named = counted(len(found), "class", "classes")
        raise InputError(f"{path} names {named} for {counted(outputs, 'output')}; a line for each is needed.")
    return found


def _named(line: str) -> ClassName:
    if "\t" in line:
        name, words = line.split("\t", 1)
        return ClassName(name.strip(), words.strip() or name.strip())
    matched = _WNID.fullmatch(line)
    return ClassName(*matched.groups()) if matched else ClassName(line, line)
