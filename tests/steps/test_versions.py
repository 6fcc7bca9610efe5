"""Two versions of the program on one run: compatible as long as units would be the same, refused otherwise."""

from collections.abc import Callable
from pathlib import Path

import pytest

from clio_argo.errors import UserError
from clio_argo.model import algorithms
from clio_argo.steps import base
from tests.stacks import completion, contents, demo_slices, done_at, plain, records, run_here, write_stack

Program = Callable[..., None]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    """Let this process be another version of the program, some of whose steps have other algorithms."""

    def become(name: str, **versions: int) -> None:
        monkeypatch.setattr(base, "software", lambda: f"clio-argo {name}")
        monkeypatch.setattr("clio_argo.steps.plan.software", lambda: f"clio-argo {name}")
        changed = {**dict.fromkeys(algorithms.ALGORITHMS, 1), **versions}
        monkeypatch.setattr(algorithms, "ALGORITHMS", changed)
        monkeypatch.setattr("clio_argo.steps.plan.ALGORITHMS", changed)

    return become


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "source", demo_slices(3, 64))


def test_versions_with_the_same_algorithms_work_on_one_run(
    source: Path, tmp_path: Path, program: Program
) -> None:
    program("0.1")
    out = run_here(plain(source), tmp_path / "out", stop_before="write")
    before = done_at(out)
    program("0.2")
    run_here(plain(source), out)
    assert before.items() <= done_at(out).items()
    made = {r.step: r.software for r in records(out).values()}
    assert (made["render"], made["write"]) == ("clio-argo 0.1", "clio-argo 0.2")


def test_a_newer_algorithm_does_again_what_depends_on_it_and_says_so(
    source: Path, tmp_path: Path, program: Program
) -> None:
    program("0.1")
    out = run_here(plain(source), tmp_path / "out")
    wanted, before = contents(out), done_at(out)
    program("0.2", render=2)
    told: dict[str, dict[str, object]] = {}
    run_here(plain(source), out, outputs=told)
    changed = {n for n, when in done_at(out).items() if before[n] != when}
    # complete.json counts the units of each version
    assert {n.split("/")[1] for n in changed} == {"render", "publish"}
    assert told["render"]["again"] == {"newer algorithm (1 -> 2)": 1}
    # the bytes did not change, and so nothing else had to
    assert told["write"]["again"] == {}
    assert contents(out) == wanted


@pytest.mark.parametrize("lost", [[], ["plan.json"]], ids=["at plan", "at the unit"])
def test_an_older_program_is_refused_on_a_newer_run(
    source: Path, tmp_path: Path, program: Program, lost: list[str]
) -> None:
    program("0.2", coarsen=3, write=2)
    out = run_here(plain(source), tmp_path / "out")
    wanted, done = contents(out), completion(out)
    for name in lost:
        (out / name).unlink()
    program("0.1")
    with pytest.raises(UserError, match=r"clio-argo 0\.2"):
        run_here(plain(source), out)
    assert contents(out) == wanted
    program("0.2", coarsen=3, write=2)
    run_here(plain(source), out)
    assert (contents(out), completion(out)) == (wanted, done)
