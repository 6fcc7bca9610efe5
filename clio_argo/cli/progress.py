"""Progress of a run: bars on a terminal, lines of JSON for programs, only notes in a log."""

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from clio_argo.model.costs import left_s
from clio_argo.model.prices import seconds_by_stage
from clio_argo.model.step import Part, StepResult

# sizes are shown in units of 1,000, as file browsers and cloud bills do
MB = 1e6
# columns of a terminal that hold a stage's title, and a bar besides, beside numbers of a stack of 100,000 slices
TITLE_COLUMNS, BAR_COLUMNS = 110, 141


class Reporter:
    """Keeps which units were rerun, by step and reason; prints only notes, for a log."""

    def __init__(self, notes: bool = True) -> None:
        self.again = Counter[tuple[str, str]]()
        self._notes = notes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None: ...

    def stage(self, step: str, title: str, parts: Sequence[Part]) -> None:
        """A stage begins."""

    def part(self, step: str, part: Part, result: StepResult) -> None:
        """A part of a stage has ended."""
        self.again.update({(step, why): units for why, units in result.counts.again.items()})
        if result.note:
            self.note(result.note)

    def note(self, text: str) -> None:
        """Report what happened to the run's folder and buckets."""
        if self._notes:
            print(text, file=sys.stderr)


class TimeLeft:
    """How long a whole run still takes, by what `plan` expected and how long parts took."""

    def __init__(self, workers: int) -> None:
        self._workers, self.began = workers, time.monotonic()
        self._expected: dict[str, float] = {}
        self._done, self._before = defaultdict[str, float](float), defaultdict[str, float](float)

    def part(self, step: str, share: float, result: StepResult) -> None:
        """A part of a stage, which is so large a share of it, has ended."""
        if result.estimate is not None:
            self._expected = seconds_by_stage(result.estimate, self._workers)
        # what was done before says nothing of the pace
        counts = self._done if result.counts.done else self._before
        counts[step] += share

    def seconds(self) -> float | None:
        """Seconds left; None as long as nobody knows."""
        if not self._expected:
            return None
        now = {step: s * max(0.0, 1 - self._before[step]) for step, s in self._expected.items()}
        done = {step: self._done[step] / max(1e-9, 1 - self._before[step]) for step in now}
        return left_s(now, done, time.monotonic() - self.began)


class LeftColumn(TimeRemainingColumn):
    """The time left of a stage at its own pace, and of the whole run as it was told."""

    def render(self, task: Task) -> Text:
        """The time until `task.fields["end"]`, if it has one."""
        if "end" not in task.fields:
            return super().render(task)
        end = task.fields["end"]
        return Text("-:--:--" if end is None else str(timedelta(seconds=max(0, round(end - time.monotonic())))))


class Bars(Reporter):
    """One bar for each stage, in slices or blocks, with size, rate and time left, and one for the whole run."""

    def __init__(self, console: Console, workers: int = 1) -> None:
        super().__init__()
        count = TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[kind]}{task.fields[size]}")
        # numbers and the time left are seen first
        self._titled = console.width >= TITLE_COLUMNS
        bar = [BarColumn(bar_width=30)] if console.width >= BAR_COLUMNS else []
        self._bars = Progress(
            TextColumn(f"{{task.description:<{32 if self._titled else 8}}}"), *bar, count,
            TextColumn("{task.fields[rate]:>9}"), TimeElapsedColumn(), TextColumn("left"), LeftColumn(),
            console=console,
        )  # fmt: skip
        self._tasks: dict[str, TaskID] = {}
        self._bytes = Counter[str]()
        self._left = TimeLeft(workers)
        self._whole: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bars.stop()

    def note(self, text: str) -> None:
        """Print above the bars."""
        self._bars.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def stage(self, step: str, title: str, parts: Sequence[Part]) -> None:
        """Add a bar; a stage with nothing to do has none."""
        if parts:
            total = sum(part.amount for part in parts)
            text = f"{step:<9} {title}" if self._titled else step
            self._tasks[step] = self._bars.add_task(text, total=total, kind=parts[0].kind, rate="", size="")

    def part(self, step: str, part: Part, result: StepResult) -> None:
        """Advance the bar by what the part covers."""
        super().part(step, part, result)
        self._bytes[step] += result.counts.bytes
        size = f", {self._bytes[step] / MB:.0f} MB" if self._bytes[step] else ""
        task = self._bars.tasks[self._bars.task_ids.index(self._tasks[step])]
        rate = f"{(task.completed + part.amount) / task.elapsed:.1f}/s" if task.elapsed else ""
        self._bars.update(task.id, advance=part.amount, rate=rate, size=size)
        self._left.part(step, part.amount / task.total if task.total else 1.0, result)
        self._show_left()

    def _show_left(self) -> None:
        """Renew the bar of the whole run; a run whose `plan` expects nothing has none."""
        seconds = self._left.seconds()
        if seconds is None:
            return
        now = time.monotonic()
        if self._whole is None:
            self._whole = self._bars.add_task("whole run", total=100, kind="%", rate="", size="", end=None)
        passed = now - self._left.began
        self._bars.update(self._whole, completed=100 * passed / max(1e-9, passed + seconds), end=now + seconds)


class Lines(Reporter):
    """One JSON object a line on standard output."""

    def __exit__(self, *raised: object) -> None:
        if raised[1] is not None:
            event("failed", time=_now(), error=str(raised[1]))

    def stage(self, step: str, title: str, parts: Sequence[Part]) -> None:
        """Print the beginning of a stage."""
        event("stage", time=_now(), step=step, title=title, parts=len(parts))

    def part(self, step: str, part: Part, result: StepResult) -> None:
        """Print what a part did."""
        super().part(step, part, result)
        event("part", time=_now(), step=step, part=part.part, **result.counts.model_dump(), **result.published)

    def note(self, text: str) -> None:
        """Print a note."""
        event("note", time=_now(), text=text)


def event(name: str, **facts: Any) -> None:
    """Print an event as a line of JSON."""
    print(json.dumps({"event": name, **facts}), flush=True)


def _now() -> float:
    return round(time.time(), 3)


def reporter(log: str, workers: int = 1) -> Reporter:
    """What shows progress as `--log` says, of a run with so many workers."""
    if log == "json":
        return Lines()
    return Bars(Console(stderr=True), workers) if log == "auto" and sys.stderr.isatty() else Reporter(log == "auto")
