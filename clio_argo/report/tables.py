"""Values of the page's tables that are more than a field of a document."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

from clio_argo.model.alignment import PairFit, Transforms
from clio_argo.model.parse_request import field_paths
from clio_argo.model.regions import Rectangle
from clio_argo.model.request import Request
from clio_argo.model.user_inputs import FORMER_MANUAL, MANUAL


class Jump(NamedTuple):
    """A move of the stage between the slices `below` and `z`, in pixels of the canvas."""

    below: int
    z: int
    x: float
    y: float


class Setting(NamedTuple):
    """A setting with its value and its default as text; the default of a required one is `required`."""

    path: str
    value: str
    default: str

    @property
    def is_default(self) -> bool:
        """Whether the value is the default."""
        return self.value == self.default


def tally(items: Iterable[Any], *fields: str) -> list[tuple[Any, int]]:
    """How many items have the same values of `fields`, the most frequent values first."""
    return Counter(map(attrgetter(*fields), items)).most_common()


def jumps(transforms: Transforms) -> list[Jump]:
    """Where the stage moved, and how far."""
    placed = [(s.z, s.matrix) for s in transforms.slices if s.matrix is not None]
    return [
        Jump(below, z, b[0][2] - a[0][2], b[1][2] - a[1][2])
        for (below, a), (z, b) in pairwise(placed)
        if z in transforms.jumps
    ]


def methods(fits: Iterable[PairFit]) -> list[tuple[str, str, int, float]]:
    """Method and model of the matched pairs with their number and median correlation, the most frequent first."""
    groups: dict[tuple[str, str], list[float]] = {}
    for fit in fits:
        if fit.matched:
            groups.setdefault((fit.method, fit.model), []).append(fit.correlation)
    rows = [(*kind, len(values), statistics.median(values)) for kind, values in groups.items()]
    return sorted(rows, key=lambda row: -row[2])


def reasons(fits: Iterable[PairFit]) -> dict[tuple[int, int], str]:
    """Why each pair (z0, z1) was not matched."""
    return {(f.z0, f.z1): f.reason for f in fits}


def manual_pairs(fits: Iterable[PairFit]) -> list[PairFit]:
    """Pairs that the user set or excluded."""
    return [f for f in fits if any(mark in f.reason for mark in (MANUAL, FORMER_MANUAL))]


def settings(request: Request) -> list[Setting]:
    """All settings of a request."""
    return [_setting(request, path) for path in field_paths() if path != "schema_version"]


def _setting(request: Request, path: str) -> Setting:
    section, _, name = path.rpartition(".")
    owner: Any = attrgetter(section)(request) if section else request
    info = type(owner).model_fields[name]
    default = "required" if info.is_required() else _text(info.get_default())
    return Setting(path, _text(getattr(owner, name)), default)


def _text(value: Any) -> str:
    match value:
        case None | () | {}:
            return "–"
        case str() | Rectangle():
            return str(value)
        case tuple():
            return ", ".join(map(_text, value))
        case dict():
            return ", ".join(f"{k}: {_text(v)}" for k, v in value.items())
        case bool():
            return json.dumps(value)
        case _:
            return f"{value:g}" if isinstance(value, float) else f"{value:,}"
