"""Slice numbers in file names, by printf pattern or discovered (by regular expression: `workspace.name_patterns`)."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from statistics import mode

from clio_argo.errors import UserError
from clio_argo.model.base import counted, few
from clio_argo.model.name_order import BY_NAME, in_natural_order
from clio_argo.model.request import Request

Number = int | Fraction
Numbering = Callable[[str], Number | None]
# Of what a number in a name may consist. A minus is often a separator: it is a sign where it does not follow a letter
# (but z) or a digit, and only if the names make no sense otherwise.
_DIGITS, _SIGN, _DECIMALS = r"[0-9]+", r"(?:(?<![^\W_zZ])[+-])?", r"(?:\.[0-9]+)?"
PLAIN, SIGNED, DECIMAL, SIGNED_DECIMAL = (
    re.compile(f"{sign}{_DIGITS}{decimals}") for decimals in ("", _DECIMALS) for sign in ("", _SIGN)
)
# read as a separator, negative numbers would be reversed
UNCLEAR, BEFORE = re.compile(r"[_=(]-[0-9]"), re.compile(r"[_=(]-([0-9]+\.)?$")
FRACTION = re.compile(r"(?<![0-9.])0\.[0-9]")  # nobody counts so but in decimals
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
    width, conversion = conversions[0]["width"] or "0", conversions[0][0]
    literal = [re.escape(t.replace("\0", "%")) for t in (before, after)]
    whole = re.compile(rf"{literal[0]}( *-?[0-9]+){literal[1]}", re.DOTALL)

    def number(name: str) -> int | None:
        match = whole.fullmatch(name)
        if match is None or len(match[1].lstrip(" -")) > max(int(width), MAX_DIGITS):
            return None
        # iso.007 is not what %d prints: two names of one number would be one slice
        z = int(match[1])
        return z if conversion % z == match[1] else None

    return number


def discover_numbering(names: Sequence[str]) -> Numbering:
    """Numbers `names` by the one number that varies: whole if that makes sense, else with sign, decimals or both.

    If all that varies is date and time, they are numbered in their order from 0.

    Raises:
        UserError: the names follow several patterns, or several numbers vary.
    """
    if by_time := _numbers_by_time(names):
        return by_time.get
    # 0.1 and 0.12 are not 1 and 12
    counted = all(map(FRACTION.search, names))
    for token in (*((DECIMAL,) if counted else ()), PLAIN, SIGNED, DECIMAL, SIGNED_DECIMAL):
        columns = _columns(names, token)
        texts, digits = next(iter(columns.items()), ((), []))
        indices = _varying(digits)
        if len(columns) == 1 and token in (PLAIN, DECIMAL):
            _refuse_unclear([n for n in names if token.search(n)], token, indices)
        if len(columns) > 1 or len(indices) != 1:
            continue
        if token in (PLAIN, SIGNED) or _are_decimals([d[indices[0]] for d in digits], counted):
            return _by_column(token, texts, indices[0])
    return _last_number(names)


def _refuse_unclear(names: Sequence[str], token: re.Pattern[str], indices: Sequence[int]) -> None:
    """Raise `UserError` if the minus before a number of all names may be its sign: a guess may reverse the stack."""
    for index in indices:
        starts = [[match.start() for match in token.finditer(name)][index] for name in names]
        if all(BEFORE.search(name[:start]) for name, start in zip(names, starts, strict=True)):
            raise UserError(
                f"the minus in {few(names, 2)} is a sign or separates: `image` with %d for the number and its minus "
                "makes it negative, with %d for the digits behind the minus it separates"
            )


def _numbers_by_time(names: Sequence[str]) -> dict[str, int]:
    """Numbers of names that differ by date and time only; empty for others."""
    rests = {TIME.sub("\0", name, count=1) for name in names}
    if len(names) < 2 or len(rests) > 1 or "\0" not in rests.pop():
        return {}
    return {name: z for z, name in enumerate(in_natural_order(names))}


def _last_number(names: Sequence[str]) -> Numbering:
    """Numbers one slice by its last number, the likeliest: dates and identifiers stand before it.

    Raises:
        UserError: there are several slices.
    """
    groups = _columns(names, PLAIN)
    if not groups:
        raise UserError(f"no file name holds a number: {few(names)}; give `image` or `image_regex`, or {BY_NAME}")
    if len(groups) > 1:
        patterns = few([_pattern(k) + f" ({counted(len(v), 'file')})" for k, v in groups.items()])
        raise UserError(f"the files follow several patterns: {patterns}; say which are the slices with `image`")
    texts, digits = next(iter(groups.items()))
    if len(indices := _varying(digits)) > 1:
        which = f"say which is the slice with `image_regex`, or {BY_NAME}"
        raise UserError(f"{len(indices)} numbers vary in {_pattern(texts)}; {which}")
    return _by_column(PLAIN, texts, len(digits[0]) - 1)


def _columns(names: Sequence[str], token: re.Pattern[str]) -> dict[tuple[str, ...], list[list[str]]]:
    """Numbers of the names that hold some, by the texts between these."""
    groups: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for name in names:
        if digits := token.findall(name):
            groups[_texts(name, token)].append(digits)
    return groups


def _varying(digits: Sequence[Sequence[str]]) -> list[int]:
    """Indices of the numbers that vary; so does a sign before the 0 of decimals."""
    columns = enumerate(zip(*digits, strict=True))
    return [i for i, column in columns if len({(d.startswith("-"), as_number(d)) for d in column}) > 1]


def _are_decimals(column: Sequence[str], counted: bool) -> bool:
    """Whether numbers were printed as decimals, and, unless one counts so, go in steps: others are two numbers."""
    decimals, numbers = [d.partition(".")[2] for d in column], [Fraction(d) for d in column]
    printed_alike = len({len(d) for d in decimals}) == 1 or not any(d.endswith("0") for d in decimals)
    step = constant_step(numbers)
    few_gaps = is_regular(numbers, step) and max(numbers) - min(numbers) < 2 * step * len(numbers)
    return printed_alike and (counted or few_gaps)


def _by_column(token: re.Pattern[str], texts: tuple[str, ...], index: int) -> Numbering:
    return lambda name: as_number(token.findall(name)[index]) if _texts(name, token) == texts else None


def as_number(text: str) -> Number:
    """A number with or without sign and decimals."""
    return Fraction(text) if "." in text else int(text)


def constant_step(numbers: Sequence[Number]) -> Number:
    """The step from each number to the next, a multiple of it where files are missing: 30 of 0, 30, 90, 120; else 1."""
    ordered = sorted(set(numbers))
    steps = [b - a for a, b in pairwise(ordered)]
    # two numbers have a step whatever they are
    usual = mode(steps) if len(steps) > 1 else 1
    regular = 2 * steps.count(usual) > len(steps) and is_regular(ordered, usual)
    return usual if regular else 1


def is_regular(numbers: Sequence[Number], step: Number) -> bool:
    """Whether a number is as far from any other as a multiple of the step."""
    return all((n - numbers[0]) % step == 0 for n in numbers)


def differ_by_numbers(names: Sequence[str]) -> bool:
    """Whether all names are the same but for their numbers."""
    return len(columns := _columns(names, PLAIN)) == 1 and sum(map(len, columns.values())) == len(names)


def _texts(name: str, token: re.Pattern[str]) -> tuple[str, ...]:
    # .TIF and .tif are one stack
    stem, dot, suffix = name.rpartition(".")
    return tuple(token.split(stem + dot + suffix.lower()))


def _pattern(texts: tuple[str, ...]) -> str:
    return "#".join(texts)
