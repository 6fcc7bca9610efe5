"""A run that is killed at a hundred random moments, or as many as an hour allows, in every stage."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.measure import worker_environment
from benchmarks.sources import real_slices
from benchmarks.stacks import write_stack

SIDE_PX, SLICES = 192, 12
MOMENTS, QUICK_MOMENTS = 100, 4
# no further volume is begun after so long
MOST_S = 3600
COMMAND = "from clio_argo.cli import main; main()"
# what dies: all at once (a machine), all after a word (a shutdown), one worker (for want of memory)
HOW = ("all by SIGKILL", "all by SIGTERM", "a worker by SIGKILL")
PRODUCTS = ("ng", "aligned", "thumbnails", "transforms.json", "transforms.csv")
WORKER_LOST = 137


@dataclass
class Seen:
    """What happened so far."""

    killed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(HOW, 0))
    stages: dict[str, int] = field(default_factory=dict)
    volumes: int = 0
    different: int = 0
    again: int = 0
    badly_ended: int = 0

    @property
    def moments(self) -> int:
        return sum(self.killed.values())


def measure(work: Path, quick: bool) -> list[Figure]:
    """Kill a run once in each stage, let it end, compare; again until there were enough moments."""
    write_stack(real_slices(), work / "source", SIDE_PX, SLICES)
    seconds = _stages(work)
    expected, seen = _contents(work / "undisturbed"), Seen()
    wanted, end = QUICK_MOMENTS if quick else MOMENTS, time.monotonic() + MOST_S
    while seen.moments < wanted and time.monotonic() < end:
        out = work / f"out-{seen.volumes}"
        kept = dict[Path, int]()
        for stage in seconds:
            if seen.moments < wanted:
                _kill_in(work, out, stage, seconds[stage], seen)
                kept = {**_records(out), **kept}
        _finish(work, out)
        seen.volumes += 1
        seen.different += _contents(out) != expected
        seen.again += sum(when != _records(out).get(record) for record, when in kept.items())
    return _figures(seen)


def _figures(seen: Seen) -> list[Figure]:
    stages = ", ".join(f"{name} {n}" for name, n in seen.stages.items())
    return [
        Figure("moments at which something was killed", seen.moments, "", note=stages),
        *(Figure(f"of these {how}", n, "") for how, n in seen.killed.items()),
        Figure("volumes that were finished after it", seen.volumes, ""),
        Figure("of these, not the same bytes as undisturbed", seen.different, "", 0),
        Figure("units that were finished and done again", seen.again, "", 0),
        Figure("runs that lost a worker and did not say so", seen.badly_ended, "", 0),
    ]


def _stages(work: Path) -> dict[str, float]:
    """Seconds of each stage of an undisturbed run, by name."""
    process = _start(work, work / "undisturbed")
    begun = [(stage, time.monotonic()) for stage in _told(process)]
    ends = [when for _, when in begun[1:]] + [time.monotonic()]
    if process.wait():
        raise RuntimeError("the undisturbed run failed")
    return {stage: end - when for (stage, when), end in zip(begun, ends, strict=True)}


def _kill_in(work: Path, out: Path, stage: str, seconds: float, seen: Seen) -> None:
    """Start the run, and kill it (or one of its workers) at a random moment of a stage."""
    process = _start(work, out)
    if stage in _told(process):
        time.sleep(random.uniform(0, seconds))
    how = HOW[seen.moments % len(HOW)]
    if process.poll() is None and _kill(process, how):
        seen.killed[how] += 1
        seen.stages[stage] = seen.stages.get(stage, 0) + 1
    for _ in _told(process):
        pass
    code = process.wait()
    seen.badly_ended += how == HOW[2] and code not in (0, WORKER_LOST)


def _kill(process: "subprocess.Popen[str]", how: str) -> bool:
    """Whether there was something to kill."""
    if how == HOW[2]:
        workers = _children(process.pid)
        if workers:
            os.kill(random.choice(workers), signal.SIGKILL)
        return bool(workers)
    os.killpg(process.pid, signal.SIGKILL if how == HOW[0] else signal.SIGTERM)
    return True


def _children(process: int) -> list[int]:
    """Workers of a run: its children but for the one that looks after semaphores."""
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(p) for p in text.split() if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]


def _start(work: Path, out: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", COMMAND, "run", "--source", work / "source", "--out", out]
    return subprocess.Popen(
        [*command, "--image", "iso.%05d.png", "--workers", "2", "--log", "json"],
        env=worker_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip


def _told(process: "subprocess.Popen[str]") -> Iterator[str]:
    """Stages of a run as they begin."""
    assert process.stdout is not None
    for line in process.stdout:
        with suppress(ValueError):  # half a line of one that was killed
            event = json.loads(line)
            if event["event"] == "stage":
                yield event["step"]


def _finish(work: Path, out: Path) -> None:
    process = _start(work, out)
    list(_told(process))
    if process.wait():
        raise RuntimeError(f"{out} was not finished: exit {process.returncode}")


def _records(out: Path) -> dict[Path, int]:
    """When the record of each finished unit was written."""
    return {p.relative_to(out): p.stat().st_mtime_ns for p in (out / "manifest").rglob("*.json")}


def _contents(out: Path) -> dict[str, str]:
    """Digest of every file of the products, by name."""
    files = (p for name in PRODUCTS for p in (out / name, *(out / name).rglob("*")) if p.is_file())
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
