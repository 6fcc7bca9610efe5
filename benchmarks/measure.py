"""CPU time of actions, and fresh processes that are set up as workers are."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clio_argo.runner import WORKER_ENVIRONMENT

REPEATS = 3
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Spent:
    """CPU seconds (user + system, children that ended included), seconds by the clock."""

    cpu_s: float
    wall_s: float

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.cpu_s + other.cpu_s, self.wall_s + other.wall_s)

    def __truediv__(self, parts: float) -> "Spent":
        return Spent(self.cpu_s / parts, self.wall_s / parts)


def cpu_seconds() -> float:
    """CPU time of this process and of its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def peak_gib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def spent(action: Callable[[], object]) -> Spent:
    cpu, wall = cpu_seconds(), time.perf_counter()
    action()
    return Spent(cpu_seconds() - cpu, time.perf_counter() - wall)


def median(of: Sequence[Spent]) -> Spent:
    return Spent(statistics.median(s.cpu_s for s in of), statistics.median(s.wall_s for s in of))


def repeated(
    action: Callable[[], object], before: Callable[[], object] = lambda: None, repeats: int = REPEATS, warm: bool = True
) -> Spent:
    """Median of repeated measurements of `action`, after a warm-up; `before` prepares each and is not measured."""
    found = []
    for _ in range(repeats + warm):
        before()
        found.append(spent(action))
    return median(found[warm:])


def tell_times(action: Callable[[], object], before: Callable[[], object], times: int) -> None:
    """Print CPU seconds of this process: until `action` is done for the first time, then of each time more."""
    told = []
    for k in range(times):
        before()
        start = time.process_time() if k else 0.0
        action()
        told.append(time.process_time() - start)
    print(json.dumps(told))


def worker_environment(tree: Path = ROOT) -> dict[str, str]:
    """The environment of a worker: what glibc and BLAS read is read when a process starts. tree: whose code it runs."""
    path = os.pathsep.join(p for p in (str(tree), os.environ.get("PYTHONPATH", "")) if p)
    return {**os.environ, **WORKER_ENVIRONMENT, "PYTHONPATH": path}


def python(*arguments: str | Path, environment: dict[str, str] | None = None, tree: Path = ROOT) -> str:
    """Run Python in a fresh worker process, in a folder with the code; what it prints."""
    own = tree / ".venv" / "bin" / "python"
    command = [str(own) if tree != ROOT and own.exists() else sys.executable, *map(str, arguments)]
    ended = subprocess.run(
        command, env=environment or worker_environment(tree), check=False, capture_output=True, text=True, cwd=tree
    )
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stderr[-4000:]}")
    return ended.stdout
