"""Two versions of the program on one run: compatible as long as units would be the same, refused otherwise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clio_argo.errors import UserError
from clio_argo.model.step import Pipeline, StepResult
from clio_argo.pipeline import PIPELINE
from tests.stacks import completion, contents, demo_slices, done_at, plain, records, run_here, write_stack

Program = Callable[..., Pipeline]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    """Let this process be another version of the program, some of whose steps have other algorithms."""

    def become(name: str, **versions: int) -> Pipeline:
        for module in ("run", "survey"):
            monkeypatch.setattr(f"clio_argo.workspace.{module}.software", lambda: f"clio-argo {name}")
        steps = tuple(replace(step, version=versions.get(step.name, 1)) for step in PIPELINE.steps)
        return replace(PIPELINE, steps=steps)

    return become


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "source", demo_slices(3, 64))


@pytest.mark.properties
def test_versions_with_the_same_algorithms_work_on_one_run(source: Path, tmp_path: Path, program: Program) -> None:
    pipeline = program("0.1")
    out = run_here(plain(source), tmp_path / "out", pipeline=pipeline, stop_before="write")
    before = done_at(out)
    pipeline = program("0.2")
    run_here(plain(source), out, pipeline=pipeline)
    assert before.items() <= done_at(out).items()
    made = {r.step: r.software for r in records(out).values()}
    assert (made["render"], made["write"]) == ("clio-argo 0.1", "clio-argo 0.2")


def test_a_newer_algorithm_does_again_what_depends_on_it_and_says_so(
    source: Path, tmp_path: Path, program: Program
) -> None:
    pipeline = program("0.1")
    out = run_here(plain(source), tmp_path / "out", pipeline=pipeline)
    wanted, before = contents(out), done_at(out)
    pipeline = program("0.2", render=2)
    results: dict[str, StepResult] = {}
    run_here(plain(source), out, pipeline=pipeline, results=results)
    changed = {n for n, when in done_at(out).items() if before[n] != when}
    # complete.json counts the units of each version
    assert {n.split("/")[1] for n in changed} == {"render", "publish"}
    assert results["render"].counts.again == {"newer algorithm (1 -> 2)": 1}
    # the bytes did not change, and so nothing else had to
    assert results["write"].counts.again == {}
    assert contents(out) == wanted


@pytest.mark.parametrize("lost", [[], ["plan.json"]], ids=["at plan", "at the unit"])
def test_an_older_program_is_refused_on_a_newer_run(
    source: Path, tmp_path: Path, program: Program, lost: list[str]
) -> None:
    pipeline = program("0.2", coarsen=3, write=2)
    out = run_here(plain(source), tmp_path / "out", pipeline=pipeline)
    wanted, done = contents(out), completion(out)
    for name in lost:
        (out / name).unlink()
    pipeline = program("0.1")
    with pytest.raises(UserError, match=r"clio-argo 0\.2"):
        run_here(plain(source), out, pipeline=pipeline)
    assert contents(out) == wanted
    pipeline = program("0.2", coarsen=3, write=2)
    run_here(plain(source), out, pipeline=pipeline)
    assert (contents(out), completion(out)) == (wanted, done)
