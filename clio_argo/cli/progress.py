"""How a run goes on: bars for people, lines of JSON for machines, nothing where nobody looks."""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from clio_argo.errors import UserError
from clio_argo.model.step import Part, StepResult


class _Told:
    """What every reporter keeps: the units that were done again, by step and reason."""

    def __init__(self) -> None:
        self.again = Counter[tuple[str, str]]()

    def part(self, step: str, part: Part, result: StepResult) -> None:
        self.again.update({(step, why): units for why, units in result.counts.again.items()})
        if result.note:
            self.note(result.note)

    def note(self, text: str) -> None:
        """Tell what happened to the run's folder and buckets."""


class Bars(_Told):
    """One bar a stage, with rate and time to go."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._bars = Progress(
            TextColumn("{task.description:<26}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>9}"),
            TimeElapsedColumn(),
            TextColumn("to go"),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bars.stop()

    def note(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)

    def stage(self, step: str, title: str, parts: Sequence[Part]) -> None:
        if parts:
            self._tasks[step] = self._bars.add_task(f"{step:<9} {title}", total=len(parts), rate="")

    def part(self, step: str, part: Part, result: StepResult) -> None:
        super().part(step, part, result)
        task = self._bars.tasks[self._bars.task_ids.index(self._tasks[step])]
        done = task.completed + 1
        rate = f"{done / task.elapsed:.1f}/s" if task.elapsed else ""
        self._bars.update(task.id, advance=1, rate=rate)


class Lines(_Told):
    """One JSON object a line on standard output."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if raised[1] is not None:
            self._say("failed", error=str(raised[1]))

    def stage(self, step: str, title: str, parts: Sequence[Part]) -> None:
        self._say("stage", step=step, parts=len(parts))

    def part(self, step: str, part: Part, result: StepResult) -> None:
        super().part(step, part, result)
        self._say("part", step=step, **result.counts.model_dump(), **result.published)

    def note(self, text: str) -> None:
        self._say("note", text=text)

    def _say(self, event: str, **facts: Any) -> None:
        print(json.dumps({"time": round(time.time(), 3), "event": event, **facts}), flush=True)


class Silent(_Told):
    """Nothing while it runs but what happened to the folder, for a log."""

    def __init__(self, notes: bool = True) -> None:
        super().__init__()
        self._notes = notes

    def note(self, text: str) -> None:
        if self._notes:
            print(text, file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None: ...

    def stage(self, step: str, title: str, parts: Sequence[Part]) -> None: ...


def reporter(log: str) -> Bars | Lines | Silent:
    if log not in ("auto", "json", "quiet"):
        raise UserError(f"--log {log}: use auto, json or quiet")
    if log == "json":
        return Lines()
    return Bars(Console(stderr=True)) if log == "auto" and sys.stderr.isatty() else Silent(log == "auto")
