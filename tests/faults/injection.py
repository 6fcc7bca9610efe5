"""Runs in which the system refuses one call of a run, or a signal arrives during it, by strace."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import pytest

from clio_argo.errors import ClioError
from clio_argo.maintenance import verify
from clio_argo.model.request import Request
from clio_argo.workspace import report_page
from tests.faults.attempts import FORKS, LIMIT_S, Ended
from tests.properties.test_update import Objects, differences, faults, in_this_process, objects
from tests.properties.worlds import overrides
from tests.stacks import FIRST, demo_slices, request, run_here, write_stack

STRACE = shutil.which("strace")
CALLS = {"open": "openat", "write": "pwrite64,pwritev,writev", "fsync": "fsync", "rename": "rename"}
FAULTS = {
    "SIGINT": "signal=SIGINT", "SIGKILL": "signal=SIGKILL", "ENOSPC": "error=ENOSPC", "EIO": "error=EIO"
}  # fmt: skip
CALL = re.compile(
    r'^\d+ +(openat|pwrite64|pwritev|writev|fsync|rename)\(.*?["<](?P<path>/[^">]+?)(_[0-9a-f]+\.__lock)?[">]'
)
INTERRUPTED = 130
INJECTED = "(INJECTED)"
SAME, OTHER, OVERRIDES = "the same request", "--update with another setting", "other overrides"
FOLLOWERS = (SAME, OTHER, OVERRIDES)


@dataclass(frozen=True)
class Fault:
    """What happens at the call number `when` of its kind, which concerns an object of this kind."""

    fault: str
    verb: str
    when: int
    kind: str

    def __str__(self) -> str:
        return f"{self.fault} at {self.verb} {self.when}: {self.kind}"


def _run_in_turn(config: Request, url: str) -> None:
    """All steps in this process, which ends as a command does; what people would be told goes to standard error."""
    try:
        run_here(config, url)
    except ClioError as error:
        print(error, file=sys.stderr)
        os._exit(error.exit_code)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)


def _traced(config: Request, url: str, said: Path) -> None:
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.kill(os.getpid(), signal.SIGSTOP)
    _run_in_turn(config, url)


def run_traced(config: Request, out: Path, fault: Fault | None = None) -> tuple[Ended, list[str]]:
    """A run in one process with a fault; how it ended, and the lines of strace."""
    said, log = out.parent / "said", out.parent / "trace"
    process = FORKS.Process(target=_traced, args=(config, f"file://{out}/", said))
    process.start()
    assert process.pid is not None
    _wait_until_stopped(process.pid)
    names = ",".join(CALLS.values()) if fault is None else CALLS[fault.verb]
    inject = [] if fault is None else ["-e", f"inject={names}:{FAULTS[fault.fault]}:when={fault.when}"]
    command = [str(STRACE), "-f", "-y", "-s", "0", "-o", log, "-e", f"trace={names}", *inject, "-p", str(process.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        assert "attached" in (line := tracer.stderr.readline()), line
        os.kill(process.pid, signal.SIGCONT)
        process.join(LIMIT_S)
        assert process.exitcode is not None, f"{fault}: it did not end in {LIMIT_S} s"
    return Ended(process.exitcode, said.read_text()), log.read_text().splitlines()


def _wait_until_stopped(process: int) -> None:
    while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        pass


def _object_of(line: str, out: Path) -> str | None:
    """The kind of object that a call concerns: its name without numbers."""
    found = CALL.match(line)
    inside = found and found["path"].startswith(f"{out}/")
    return re.sub(r"\d+", "#", found["path"].removeprefix(f"{out}/")) if found and inside else None


def faults_of(trace: Sequence[str], out: Path) -> list[Fault]:
    """Each fault at the first call of each verb that concerns an object of each kind."""
    first, counts, taken = dict[tuple[str, str], int](), dict[tuple[str, str], int](), set[tuple[str, int]]()
    verbs = {call: verb for verb, calls in CALLS.items() for call in calls.split(",")}
    for line in trace:
        thread, _, call = line.partition(" ")
        if verb := verbs.get(call.strip().partition("(")[0]):
            # strace counts the calls of each thread: the thread that is the first to come so far has the fault
            counts[thread, verb] = when = counts.get((thread, verb), 0) + 1
            if (verb, when) not in taken and (kind := _object_of(line, out)):
                first.setdefault((verb, kind), when)
            taken.add((verb, when))
    return [Fault(fault, verb, when, kind) for ((verb, kind), when), fault in product(first.items(), FAULTS)]


@dataclass
class Trial:
    """A stack, one folder for all runs of it since runs tell where they are, and clean runs of three requests.

    Undisturbed, the requests are the one that is disturbed, one that takes it over, and one with other overrides.
    """

    folder: Path
    requests: Mapping[str, Request]
    clean: Mapping[str, Objects] = field(init=False)
    faults: list[Fault] = field(init=False)

    def __post_init__(self) -> None:
        self.clean = {name: self._run(config) for name, config in self.requests.items()}
        self._empty()
        ended, trace = run_traced(self.requests[SAME], self.out)
        assert ended.code == 0, ended.said
        self.faults = faults_of(trace, self.out)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def problems(self, fault: Fault, then: str) -> list[str]:
        """What is wrong after a fault and a run of another request."""
        ended, met = self.disturbed(fault)
        print(f"{fault} (it met {met}), then {then}: {ended.code} {ended.said.strip()[:300]}")
        told = ended.code in (0, -signal.SIGKILL, INTERRUPTED) or str(self.out) in ended.said
        # other files may be those of the interpreter, which cannot go on without them
        fine = not met or (told and "Traceback" not in ended.said)
        problems = [] if fine else [f"ended with {ended.code}: {ended.said}"]
        found = self._run(self.requests[then].model_copy(update={"update": then == OTHER}), fresh=False)
        problems += [*differences(found, self.clean[then]), *faults(self.out)]
        problems += [f"left over: {p}" for p in self.out.rglob("*.__lock")]
        return [f"{fault}, then {then}: {p}" for p in problems]

    def disturbed(self, fault: Fault) -> tuple[Ended, str]:
        """How a run with the fault ended, and the kind of object that it met; empty if it was another file."""
        while True:
            self._empty()
            ended, trace = run_traced(self.requests[SAME], self.out, fault)
            hit = [_object_of(line, self.out) or "" for line in trace if INJECTED in line]
            # calls are spread over threads in another way in each run
            if hit or fault.when == 1:
                return ended, next(iter(hit), "")
            fault = replace(fault, when=fault.when // 2)

    def _run(self, config: Request, fresh: bool = True) -> Objects:
        if fresh:
            self._empty()
        return objects(run_here(config, self.out))

    def _empty(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)


@contextmanager
def trial(folder: Path) -> Iterator[Trial]:
    """A trial on nine slices; runs and verification stay in this process."""
    stack = write_stack(folder / "stack", demo_slices(9, 128))
    (folder / "overrides.yaml").write_text(overrides(FIRST + 3, "bad"))
    base = request(stack, max_parts=1, max_bad=3)
    changes = {SAME: {}, OTHER: {"background": 7}, OVERRIDES: {"overrides": str(folder / "overrides.yaml")}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_page, "stage_times", lambda attempts: ())
        patch.setattr(verify, "worker_pool", in_this_process)
        yield Trial(folder, {name: base.model_copy(update=change) for name, change in changes.items()})
