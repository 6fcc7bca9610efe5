"""Stacks among the names of files: which belong together, and the pattern that numbers each of them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from clio_argo.errors import UserError
from clio_argo.model.numbering import Number, Numbering, discover_numbering, printf_numbering


@dataclass(frozen=True)
class NameStack:
    """Files of one stack.

    names: of the files. numbers: of the slices, one for each file.
    settings: `image` or `image_regex`, which choose these files among all; neither where only discovery numbers them.
    """

    names: tuple[str, ...]
    numbers: tuple[Number, ...]
    settings: Mapping[str, str]


@dataclass(frozen=True)
class _Name:
    """A file name between whose digits stand texts, the last of them with its suffix."""

    name: str
    texts: tuple[str, ...]
    digits: tuple[str, ...]

    @property
    def kind(self) -> tuple[str, ...]:
        """What names of one stack share."""
        # .TIF and .tif are one stack
        stem, dot, suffix = self.texts[-1].rpartition(".")
        return (*self.texts[:-1], stem + dot + suffix.lower())


def name_stacks(names: Iterable[str]) -> list[NameStack]:
    """The stacks among files, the longest first. A name without a number belongs to none."""
    kinds = defaultdict[tuple[str, ...], list[_Name]](list)
    for name in names:
        parts = re.split(r"([0-9]+)", name)
        if len(parts) > 1:
            kinds[(parsed := _Name(name, tuple(parts[::2]), tuple(parts[1::2]))).kind].append(parsed)
    return sorted((s for files in kinds.values() for s in _split(files)), key=lambda s: -len(s.names))


def _split(files: Sequence[_Name]) -> Iterator[NameStack]:
    """Stacks among names that differ by numbers only.

    Where several numbers vary, one that no two files share is the slice. Without such a number there are several
    stacks, and the number that takes the fewest values tells them apart.
    """
    columns = [[int(d) for d in column] for column in zip(*(f.digits for f in files), strict=True)]
    varying = [column for column in columns if len(set(column)) > 1]
    try:
        discovered = discover_numbering([f.name for f in files])
    except UserError:
        if len(varying) < 2:
            raise
    else:
        yield _stack(files, [discovered(f.name) for f in files])
        return
    if own := [column for column in varying if len(set(column)) == len(files)]:
        # a counter spans less than a date
        counter = min(own[::-1], key=lambda column: max(column) - min(column))
        yield _stack(files, counter)
        return
    by = columns.index(min(varying, key=lambda column: len(set(column))))
    parts = groupby(sorted(files, key=lambda f: int(f.digits[by])), key=lambda f: int(f.digits[by]))
    for _, part in parts:
        yield from _split(list(part))


def _stack(files: Sequence[_Name], numbers: Sequence[Number | None]) -> NameStack:
    """A stack, and the settings that give the files these numbers."""
    # dates and identifiers stand before the slice
    names, columns = [f.name for f in files], range(len(files[0].digits))[::-1]
    choices: Iterator[tuple[str, str, Numbering]] = chain(
        (("image", text, printf_numbering(text)) for text in (_printf(files, column) for column in columns)),
        (("image_regex", text, _by(text)) for text in (_expression(files, column) for column in columns)),
    )
    fitting = ({key: text} for key, text, number in choices if list(map(number, names)) == list(numbers))
    return NameStack(tuple(names), tuple(n for n in numbers if n is not None), next(fitting, {}))


def _printf(files: Sequence[_Name], column: int) -> str:
    first, digits = files[0], [f.digits[column] for f in files]
    width = min(map(len, digits)) if any(d[0] == "0" and d != "0" for d in digits) else 0
    texts = [t.replace("%", "%%") for t in first.texts]
    number = f"%0{width}d" if width else "%d"
    numbers = [number if i == column else d for i, d in enumerate(first.digits)]
    return _joined(texts, numbers)


def _expression(files: Sequence[_Name], column: int) -> str:
    first = files[0]
    stem, dot, suffix = first.texts[-1].rpartition(".")
    mixed = len({f.texts for f in files}) > 1
    last = re.escape(stem + dot) + (f"(?i:{re.escape(suffix)})" if mixed else re.escape(suffix))
    texts = [*map(re.escape, first.texts[:-1]), last]
    spellings = [set(each) for each in zip(*(f.digits for f in files), strict=True)]
    numbers = ["[0-9]+" if len(each) > 1 else next(iter(each)) for each in spellings]
    numbers[column] = "(?P<z>[0-9]+)"
    return _joined(texts, numbers)


def _joined(texts: Sequence[str], numbers: Sequence[str]) -> str:
    return "".join(part for pair in zip(texts, [*numbers, ""], strict=True) for part in pair)


def _by(expression: str) -> Numbering:
    whole = re.compile(expression)
    return lambda name: int(match["z"]) if (match := whole.fullmatch(name)) else None
