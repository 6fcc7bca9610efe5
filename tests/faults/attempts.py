"""Containers' entry point in processes that a test may kill, starve or deceive.

The processes are forked from one that has imported everything, so that an attempt costs little more than its work.
"""

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

from clio_argo.model.request import REQUEST, Request
from clio_argo.model.step import StepResult, parts_of
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([*(s.entry.partition(":")[0] for s in PIPELINE.all_steps), "clio_argo.container"])
LIMIT_S = 60


@dataclass(frozen=True)
class Conditions:
    """What an attempt finds around it.

    memory_mib: address space that it may take besides what it has when it starts.
    limits: soft and hard limits by `resource.RLIMIT_...`.
    clock_s: seconds by which its clock is wrong.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    memory_mib: int | None = None
    limits: Mapping[int, int] = field(default_factory=dict)
    clock_s: float = 0
    umask: int | None = None

    def take_hold(self) -> None:
        """Change this process."""
        os.environ.update(self.environment)
        time.tzset()
        if self.memory_mib is not None:
            _limit(resource.RLIMIT_AS, _address_space() + self.memory_mib * 2**20)
        for which, most in self.limits.items():
            _limit(which, most)
        if self.clock_s:
            right, wrong = time.time, self.clock_s
            time.time = lambda: right() + wrong
        if self.umask is not None:
            os.umask(self.umask)


NORMAL = Conditions()


@dataclass(frozen=True)
class Ended:
    """How an attempt ended: its exit code (negative: the signal) and all that it said."""

    code: int
    said: str

    @property
    def result(self) -> StepResult:
        """What a step that ended well printed last."""
        assert self.code == 0, self.said
        return StepResult.model_validate_json(self.said.splitlines()[-1])


def attempt(
    step: str, out: Path, part: int = 0, under: Conditions = NORMAL, kill: Callable[[int], object] | None = None
) -> Ended:
    """Run one part of a step as a container does; `kill` gets the process when it is about to start the step."""
    said = out.parent / f"said-{os.getpid()}"
    heard, ready = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_contained, args=(step, Store(str(out)).url, part, under, said, ready))
    process.start()
    ready.close()
    heard.poll(LIMIT_S)
    if kill is not None and process.pid is not None:
        kill(process.pid)
    process.join(LIMIT_S)
    assert process.exitcode is not None, f"{step} {part} did not end in {LIMIT_S} s"
    return Ended(process.exitcode, said.read_text(errors="replace"))


def _contained(step: str, url: str, part: int, under: Conditions, said: Path, ready: Connection) -> None:
    from clio_argo.container import main

    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1) for n in (1, 2))
    under.take_hold()
    sys.argv = ["clio-argo-step", step, "--run", url, "--part", str(part)]
    ready.send_bytes(b"now")
    main()


def run_apart(config: Request, out: Path, under: Conditions = NORMAL) -> Ended:
    """All parts of all steps, each in a process of its own, up to the first that fails; the last attempt."""
    asked = replace(under, environment={**under.environment, **asking(config)})
    results: dict[str, StepResult] = {}
    ended = Ended(0, "")
    for step in PIPELINE.steps:
        for part in parts_of(step, results):
            ended = attempt(step.name, out, part.part, asked)
            if ended.code:
                return ended
            results[step.name] = ended.result
    return ended


def asking(config: Request) -> dict[str, str]:
    """The environment of a pod that plans `config`."""
    return {REQUEST: config.model_dump_json()}


def after(seconds: float, what: signal.Signals) -> Callable[[int], None]:
    """Send a signal that much later."""

    def send(process: int) -> None:
        time.sleep(seconds)
        with suppress(ProcessLookupError):
            os.kill(process, what)

    return send


def _limit(which: int, most: int) -> None:
    hard = resource.getrlimit(which)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
