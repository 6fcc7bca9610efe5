"""The natural order of names, as file browsers show it, and the names that it cannot put in order."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection
from itertools import groupby
from pathlib import PurePosixPath

from clio_argo.errors import UserError, printable
from clio_argo.model.base import few

BY_NAME = "count the files in the order of their names with `order: name`"
HINT = f"if the numbers in the names are no positions, {BY_NAME}"
# before all other characters: folder by folder, and `a.png` before `a-1.png`
_FIRST = str.maketrans({"/": "\0", ".": "\1"})
# where a number stands among characters
_DIGIT = "0"
NaturalKey = tuple[int | str, ...]


def natural_key(name: str) -> NaturalKey:
    """Sort key that orders img2 before img10; the same for names that differ in case or leading zeros only."""
    tokens = re.split(r"(\d+)", _plain(name).translate(_FIRST))
    return tuple(int(t) if i % 2 else t + _DIGIT * (i + 1 < len(tokens)) for i, t in enumerate(tokens))


def in_natural_order(names: Collection[str]) -> list[str]:
    """Names in natural order, each once; those with the same key by their characters."""
    return sorted(set(names), key=lambda name: (natural_key(name), name))


def numbers_by_name(names: Collection[str], first: int, mixed: bool = False) -> dict[str, int]:
    """Numbers of names in natural order, from `first`.

    mixed: whether names of several series may be among them.

    Raises:
        UserError: two names compare equal, or belong to different series; both are named.
    """
    ordered = in_natural_order(names)
    same = [list(group) for _, group in groupby(ordered, natural_key)]
    if equal := [" and ".join(map(printable, group)) for group in same if len(group) > 1]:
        raise UserError(f"order: name cannot tell {few(equal, 3)} apart; rename or remove one")
    if not mixed:
        _refuse_mixture(ordered)
    return {name: z for z, name in enumerate(ordered, first)}


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def _refuse_mixture(names: Collection[str]) -> None:
    """Raise `UserError` if names have several suffixes, or differ by more than numbers or by more than letters."""
    series, suffixes = defaultdict[str, list[str]](list), dict[str, str]()
    for name in names:
        kind = re.sub(r"\d+", "#", _plain(name))
        series[kind].append(name)
        suffixes.setdefault(PurePosixPath(kind).suffix, name)
    # sections called a, b, c are a series of their own
    is_mixed = 1 < len(series) < len(names)
    if is_mixed or len(suffixes) > 1:
        found = list(suffixes.values()) if len(suffixes) > 1 else [group[0] for group in series.values()]
        raise UserError(
            f"order: name finds a mixture of series, {few([printable(n) for n in found], 3)}; `image_regex` says which "
            "files are the stack"
        )
