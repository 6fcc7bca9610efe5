"""Progress of a run: bars on a terminal, lines of JSON for programs, only notes in a log."""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

MB = 1e6
TITLES = {
    "plan": "plan      read headers",
    "reduce": "reduce    find features",
    "match": "match     fit neighbours",
    "inspect": "inspect   find suspects",
    "relink": "relink    match around them",
    "solve": "solve     place slices",
    "render": "render    warp, contrast",
    "write": "write     viewer volume",
    "coarsen": "coarsen   coarse scales",
    "verify": "verify    compare objects",
    "publish": "publish   report",
    "check solve": "check     metadata",
    "check render": "check     full scale",
    "check write": "check     viewer volume",
    "check coarsen": "check     coarse scales",
}
Outputs = dict[str, Any]


class Reporter:
    """Keeps which units were rerun, by step and reason; prints only notes, for a log."""

    def __init__(self, notes: bool = True) -> None:
        self.again = Counter[tuple[str, str]]()
        self._notes = notes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None: ...

    def stage(self, step: str, parts: int) -> None:
        """A stage begins."""

    def part(self, step: str, outputs: Outputs) -> None:
        """A part of a stage has ended."""
        self.again.update({(step, why): units for why, units in outputs.get("again", {}).items()})
        if text := outputs.get("note"):
            self.note(text)

    def note(self, text: str) -> None:
        """Report what happened to the run's folder and buckets."""
        if self._notes:
            print(text, file=sys.stderr)


class Bars(Reporter):
    """One bar for each stage, in slices or blocks, with rate and time left."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        count = TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}{task.fields[size]}")
        self._bars = Progress(
            TextColumn("{task.description:<26}"), BarColumn(bar_width=30), count, TextColumn("{task.fields[rate]:>9}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console,
        )  # fmt: skip
        self._tasks: dict[str, tuple[TaskID, float]] = {}
        self._items: dict[str, Sequence[dict[str, str]]] = {}
        self._bytes = Counter[str]()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bars.stop()

    def note(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)

    def stage(self, step: str, parts: int) -> None:
        if parts:
            unit, total = extent(self._items.get(step, ()), parts)
            task = self._bars.add_task(TITLES.get(step, step), total=total, unit=unit, rate="", size="")
            # parts differ by one unit at most, so that each advances the bar by the same amount
            self._tasks[step] = task, total / parts

    def part(self, step: str, outputs: Outputs) -> None:
        super().part(step, outputs)
        self._items |= {k.removesuffix("_parts"): v for k, v in outputs.items() if k.endswith("_parts")}
        self._bytes[step] += outputs.get("bytes", 0)
        size = f", {self._bytes[step] / MB:.0f} MB" if self._bytes[step] else ""
        number, advance = self._tasks[step]
        task = self._bars.tasks[self._bars.task_ids.index(number)]
        rate = f"{(task.completed + advance) / task.elapsed:.1f}/s" if task.elapsed else ""
        self._bars.update(number, advance=advance, rate=rate, size=size)


def extent(items: Sequence[dict[str, str]], parts: int) -> tuple[str, int]:
    """What a stage works on, and how many: its parts say `{"slices": "0-63"}`; else the parts themselves."""
    for unit in ("slices", "blocks"):
        if items and all(unit in item for item in items):
            spans = [item[unit].partition("-") for item in items]
            return unit, sum(int(last or first) - int(first) + 1 for first, _, last in spans)
    return "part" if parts == 1 else "parts", parts


class Lines(Reporter):
    """One JSON object a line on standard output."""

    def __exit__(self, *raised: object) -> None:
        if raised[1] is not None:
            event("failed", time=_now(), error=str(raised[1]))

    def stage(self, step: str, parts: int) -> None:
        event("stage", time=_now(), step=step, parts=parts)

    def part(self, step: str, outputs: Outputs) -> None:
        super().part(step, outputs)
        counts = {k: v for k, v in outputs.items() if not k.endswith("_parts") and k != "note"}
        event("part", time=_now(), step=step, **counts)

    def note(self, text: str) -> None:
        event("note", time=_now(), text=text)


def event(name: str, **facts: Any) -> None:
    """Print an event as a line of JSON."""
    print(json.dumps({"event": name, **facts}), flush=True)


def _now() -> float:
    return round(time.time(), 3)


def reporter(log: str) -> Reporter:
    """What shows progress as `--log` says."""
    if log == "json":
        return Lines()
    return Bars(Console(stderr=True)) if log == "auto" and sys.stderr.isatty() else Reporter(log == "auto")
