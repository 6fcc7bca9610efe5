"""What a benchmark finds: figures with their limits, kept in results.json and shown in docs/benchmarks.md."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured value. `limit` is the most it may be, or the least if `at_least`; None: for information."""

    what: str
    value: float
    unit: str
    limit: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def holds(self) -> bool | None:
        if self.limit is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def shown(self) -> str:
        return f"{number(self.value)} {self.unit}".strip()

    @property
    def shown_limit(self) -> str:
        if self.limit is None:
            return ""
        return f"{'at least' if self.at_least else 'at most'} {number(self.limit)}"

    @property
    def verdict(self) -> str:
        return {None: "", True: "ok", False: "**no**"}[self.holds]


@dataclass(frozen=True)
class Result:
    """One benchmark, measured in one go with the machine's own figures."""

    name: str
    title: str
    date: str
    figures: tuple[Figure, ...]
    machine: Mapping[str, Any]


def number(value: float) -> str:
    """Three digits that matter, and no exponent."""
    if not value or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def read_results(path: Path) -> dict[str, Result]:
    """Results of earlier invocations, by name."""
    if not path.exists():
        return {}
    return {name: _result(value) for name, value in json.loads(path.read_text(encoding="utf-8")).items()}


def _result(value: dict[str, Any]) -> Result:
    return Result(**{**value, "figures": tuple(Figure(**f) for f in value["figures"])})


def write_results(path: Path, results: Mapping[str, Result]) -> None:
    values = {name: asdict(result) for name, result in results.items()}
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def merged(old: Mapping[str, Result], new: Sequence[Result], order: Sequence[str]) -> dict[str, Result]:
    """Old results with new ones in their place, in the order of the benchmarks."""
    every = {**old, **{r.name: r for r in new}}
    return {name: every[name] for name in order if name in every}
