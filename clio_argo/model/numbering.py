"""Slice numbers in file names, by printf pattern or discovered (by regular expression: `workspace.name_patterns`)."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import mode

from clio_argo.errors import UserError
from clio_argo.model.base import few
from clio_argo.model.plan import natural_key
from clio_argo.model.request import Request

Numbering = Callable[[str], int | None]
CONVERSION = re.compile(r"%(?P<zero>0?)(?P<width>\d*)[di]")
# numbers up to request.MAX_Z; longer runs of digits are dates or identifiers
MAX_DIGITS = 9
# date and time, as microscopes name files (20-11-08_114025), with or without marks between
TIME = re.compile(
    r"(?<!\d)(?:\d\d)?\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])"
    r"[-_ T](?:[01]\d|2[0-3])[-_.]?[0-5]\d[-_.]?[0-5]\d(?!\d)"
)
# of a padded number; a file name has at most 255 bytes
MAX_WIDTH = 255


def numbering(request: Request, names: Sequence[str]) -> Numbering:
    """The function that maps a file name to its slice number, or to None if the file is no slice.

    Raises:
        UserError: the pattern is unusable, or the names can be numbered in several ways.
    """
    if request.image is not None:
        return printf_numbering(request.image)
    return discover_numbering(names)


def printf_numbering(pattern: str) -> Numbering:
    """Numbers names that `pattern`, with one %d, prints. Raises `UserError` if it has none or several."""
    # no file name holds a NUL, so that it can stand for a percent sign
    plain = pattern.replace("%%", "\0")
    conversions = list(CONVERSION.finditer(plain))
    if len(conversions) != 1 or plain.count("%") != 1:
        raise UserError(f"image {pattern!r}: expected exactly one number, for example iso.%05d.png")
    if int(conversions[0]["width"][:MAX_DIGITS] or 0) > MAX_WIDTH:
        raise UserError(f"image {pattern[:MAX_WIDTH]!r}: a number of more than {MAX_WIDTH} characters")
    before, after = plain[: conversions[0].start()], plain[conversions[0].end() :]
    width, pad = conversions[0]["width"] or "0", "0" if conversions[0]["zero"] else " "
    literal = [re.escape(t.replace("\0", "%")) for t in (before, after)]
    whole = re.compile(rf"{literal[0]}( *[0-9]+){literal[1]}", re.DOTALL)

    def number(name: str) -> int | None:
        match = whole.fullmatch(name)
        if match is None or len(match[1]) > max(int(width), MAX_DIGITS):
            return None
        # iso.007 is not what %d prints: two names of one number would be one slice
        z = int(match[1])
        return z if str(z).rjust(int(width), pad) == match[1] else None

    return number


def discover_numbering(names: Sequence[str]) -> Numbering:
    """Numbers `names` by the one number that varies, or, if all that varies is date and time, in their order from 0.

    Raises:
        UserError: the names follow several patterns, or several numbers vary.
    """
    if by_time := _numbers_by_time(names):
        return by_time.get
    groups: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for name in names:
        groups[tuple(_texts(name))].append(_digits(name))
    groups = {k: v for k, v in groups.items() if v[0]}
    if not groups:
        raise UserError(f"no file name holds a number: {few(names)}; give `image` or `image_regex`")
    if len(groups) > 1:
        patterns = few([_pattern(k) + f" ({len(v)} files)" for k, v in groups.items()])
        raise UserError(f"the files follow several patterns: {patterns}; say which are the slices with `image`")
    texts, digits = next(iter(groups.items()))
    index = _varying_number(texts, digits)
    return lambda name: int(_digits(name)[index]) if tuple(_texts(name)) == texts else None


def _numbers_by_time(names: Sequence[str]) -> dict[str, int]:
    """Numbers of names that differ by date and time only; empty for others."""
    rests = {TIME.sub("\0", name, count=1) for name in names}
    if len(names) < 2 or len(rests) > 1 or "\0" not in rests.pop():
        return {}
    return {name: z for z, name in enumerate(sorted(names, key=natural_key))}


def _varying_number(texts: tuple[str, ...], digits: list[list[str]]) -> int:
    indices = [i for i, column in enumerate(zip(*digits, strict=True)) if len({int(d) for d in column}) > 1]
    if len(indices) > 1:
        raise UserError(f"{len(indices)} numbers vary in {_pattern(texts)}; say which is the slice with `image_regex`")
    # a single slice, whose last number is the likeliest: dates and identifiers stand before it
    return indices[0] if indices else len(digits[0]) - 1


def constant_step(numbers: Sequence[int]) -> int:
    """The step from each number to the next, a multiple of it where files are missing: 30 of 0, 30, 90, 120; else 1."""
    ordered = sorted(set(numbers))
    steps = [b - a for a, b in pairwise(ordered)]
    # two numbers have a step whatever they are
    usual = mode(steps) if len(steps) > 1 else 1
    regular = 2 * steps.count(usual) > len(steps) and all(step % usual == 0 for step in steps)
    return usual if regular else 1


def differ_by_numbers(names: Sequence[str]) -> bool:
    """Whether all names are the same but for their numbers."""
    return len({tuple(_texts(n)) for n in names}) == 1 and bool(_digits(names[0]))


def _texts(name: str) -> list[str]:
    # .TIF and .tif are one stack
    stem, dot, suffix = name.rpartition(".")
    return re.split(r"[0-9]+", stem + dot + suffix.lower())


def _digits(name: str) -> list[str]:
    return list(re.findall(r"[0-9]+", name))


def _pattern(texts: tuple[str, ...]) -> str:
    return "#".join(texts)
