"""Slice numbers in file names: printf patterns, regular expressions, or discovered."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from clio_argo.errors import UserError
from clio_argo.model.request import Request

Numbering = Callable[[str], int | None]
CONVERSION = re.compile(r"%(?P<zero>0?)(?P<width>\d*)[di]")
MAX_DIGITS = 9


def numbering(config: Request, names: Sequence[str]) -> Numbering:
    """What gives the slice number of a file name, or None for a file that is no slice.

    Raises:
        UserError: an unusable pattern, or names that could be numbered in several ways.
    """
    if config.image is not None:
        return printf_numbering(config.image)
    if config.image_regex is not None:
        return regex_numbering(config.image_regex)
    return discovered_numbering(names)


def printf_numbering(pattern: str) -> Numbering:
    """Names that `pattern` with one %d would print."""
    plain = pattern.replace("%%", "\0")
    found = list(CONVERSION.finditer(plain))
    if len(found) != 1 or plain.count("%") != 1:
        raise UserError(f"image {pattern!r}: expected exactly one number, for example iso.%05d.png")
    before, after = plain[: found[0].start()], plain[found[0].end() :]
    width, pad = found[0]["width"] or "0", "0" if found[0]["zero"] else " "
    literal = [re.escape(t.replace("\0", "%")) for t in (before, after)]
    whole = re.compile(rf"{literal[0]}( *[0-9]+){literal[1]}", re.DOTALL)

    def number(name: str) -> int | None:
        match = whole.fullmatch(name)
        if match is None or len(match[1]) > max(int(width), MAX_DIGITS):
            return None
        z = int(match[1])
        return z if str(z).rjust(int(width), pad) == match[1] else None

    return number


def regex_numbering(expression: str) -> Numbering:
    """Names that `expression` matches as a whole; group z (or the first) is the number."""
    try:
        whole = re.compile(expression)
    except re.error as error:
        raise UserError(f"image_regex {expression!r}: {error}") from error
    if not whole.groups:
        raise UserError(f"image_regex {expression!r}: needs a group for the number, for example (?P<z>[0-9]+)")
    group: str | int = "z" if "z" in whole.groupindex else 1

    def number(name: str) -> int | None:
        match = whole.fullmatch(name)
        digits = match[group] if match else None
        return int(digits) if digits and digits.isascii() and digits.isdecimal() else None

    return number


def discovered_numbering(names: Sequence[str]) -> Numbering:
    """The one number that varies over `names`; refused when several patterns or numbers could be meant."""
    groups: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for name in names:
        groups[tuple(_texts(name))].append(_digits(name))
    groups = {k: v for k, v in groups.items() if v[0]}
    if not groups:
        raise UserError(f"no file name holds a number: {_few(names)}; give `image` or `image_regex`")
    if len(groups) > 1:
        shown = _few([_shown(k) + f" ({len(v)} files)" for k, v in groups.items()])
        raise UserError(f"the files follow several patterns: {shown}; say which are the slices with `image`")
    texts, digits = next(iter(groups.items()))
    place = _varying(texts, digits)
    return lambda name: int(_digits(name)[place]) if tuple(_texts(name)) == texts else None


def _varying(texts: tuple[str, ...], digits: list[list[str]]) -> int:
    places = [i for i, column in enumerate(zip(*digits, strict=True)) if len({int(d) for d in column}) > 1]
    if len(places) > 1:
        raise UserError(
            f"{len(places)} numbers vary in the names {_shown(texts)}; say which is the slice with `image_regex`"
        )
    return places[0] if places else len(digits[0]) - 1


def _texts(name: str) -> list[str]:
    return re.split(r"[0-9]+", name)


def _digits(name: str) -> list[str]:
    return list(re.findall(r"[0-9]+", name))


def _shown(texts: tuple[str, ...]) -> str:
    return "#".join(texts)


def _few(items: Sequence[str]) -> str:
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
