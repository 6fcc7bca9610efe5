"""Steps that die at any moment, for any reason: the next try goes on, and the volume is the same."""

import signal
from pathlib import Path

import numpy as np
import pytest

from clio_argo.maintenance.verify import verify
from clio_argo.model.step import StepResult, parts_of
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import KILLED
from clio_argo.store.documents import Store
from clio_argo.workspace.logs import read_attempts
from tests.faults.attempts import Conditions, Ended, after, asking, attempt, run_apart
from tests.stacks import completion, contents, records, request, written_at

# libraries that cannot go on without memory
ABORTED = (-signal.SIGABRT, -signal.SIGSEGV)
MEMORY_MIB = (1, 40)


def seconds_of(out: Path) -> dict[str, float]:
    """How long each step took in a run."""
    store = Store(str(out))
    return {a.step: a.wall_s for a in read_attempts(store)[0]}


@pytest.mark.properties
@pytest.mark.parametrize("what", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_killed_in_every_stage_it_ends_the_same(
    stack: Path, undisturbed: Path, tmp_path: Path, what: signal.Signals
) -> None:
    random, seconds, out = np.random.default_rng(), seconds_of(undisturbed), tmp_path / "out"
    under, results = Conditions(asking(request(stack, max_parts=1))), dict[str, StepResult]()
    killed, kept = list[str](), dict[str, int]()
    for step in PIPELINE.steps:
        for part in parts_of(step, results):
            moment = random.uniform(0, seconds[step.name])
            ended = attempt(step.name, out, part.part, under, after(moment, what))
            killed += [f"{step.name} after {moment:.3f} s"] if ended.code else []
            kept = {**written_at(out), **kept}
            results[step.name] = attempt(step.name, out, part.part, under).result
    print("killed:", *killed, sep="\n  ")
    assert contents(out) == contents(undisturbed)
    assert completion(out).manifest == completion(undisturbed).manifest
    assert kept.items() <= written_at(out).items()


@pytest.mark.properties
def test_too_little_memory_is_said_and_makes_no_slice_bad(stack: Path, undisturbed: Path, tmp_path: Path) -> None:
    out, environment = tmp_path / "out", asking(request(stack, max_parts=1))
    results, starved = dict[str, StepResult](), list[str]()
    for step in PIPELINE.steps:
        for part in parts_of(step, results):
            for mib in MEMORY_MIB:
                ended = attempt(step.name, out, part.part, Conditions(environment, memory_mib=mib))
                assert_said(ended)
                starved += [step.name] if ended.code else []
            results[step.name] = attempt(step.name, out, part.part, Conditions(environment)).result
    print("died for want of memory:", *starved)
    assert len(set(starved)) == len([s for s in PIPELINE.steps if parts_of(s, results)])
    assert contents(out) == contents(undisturbed)


def assert_said(ended: Ended) -> None:
    """Done, ended by the system, or said what was missing."""
    assert ended.code in (0, KILLED, *ABORTED), ended.said
    assert "Traceback" not in ended.said
    assert ended.code != KILLED or "not enough memory" in ended.said


@pytest.mark.properties
def test_what_a_dead_process_left_is_ignored(stack: Path, undisturbed: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "out", request(stack, max_parts=1)
    assert run_apart(config, out).code == 0
    objects = [p for p in out.rglob("*") if p.is_file()]
    for path in objects:
        # what tensorstore's file driver leaves when it is killed while it writes, with locks of its own and without;
        # longer than the object that comes next
        for left in (".__lock", "_0123456789abcdef.__lock"):
            path.with_name(path.name + left).write_bytes(path.read_bytes() + b"of an earlier run" * 300)
    assert verify(out, "quick", 1).leftovers == 2 * len(objects)
    for record in records(out):
        (out / record).unlink()
    ended = run_apart(config, out)
    assert ended.code == 0, ended.said
    assert contents(out) == contents(undisturbed)
    assert completion(out).manifest == completion(undisturbed).manifest
    assert not list(out.rglob("*.__lock"))
