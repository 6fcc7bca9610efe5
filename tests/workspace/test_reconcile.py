"""What the stages of a run were expected to take and took: kept beside the logs, in the report, and nowhere else."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.model.costs import Estimate, left_s
from clio_argo.model.run import Costs
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.workspace.logs import log_lost, read_attempts
from clio_argo.workspace.reconcile import costs_of
from tests.stacks import cli, completion, request, run_here


@pytest.fixture(scope="module")
def only_aligned(stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`stack` up to `solve`, without alignment."""
    return run_here(request(stack, alignment__skip=True), tmp_path_factory.mktemp("only"), stop_before="render")


def test_all_stages_but_the_last_are_compared(aligned: Path) -> None:
    costs = Store(str(aligned)).document(Costs, completion(aligned).costs)
    idle = ("publish", "coarsen", "rematch")
    assert [s.step for s in costs.stages] == [s.name for s in PIPELINE.steps if s.name not in idle]
    assert all(s.estimated_s is not None and s.cpu_s >= 0 for s in costs.stages)
    assert costs.cpu_s > 0
    attempts, _ = read_attempts(Store(str(aligned)))
    busy = sum(a.wall_s for a in attempts if a.step != "publish")
    assert costs.vcpu_h * 3600 == pytest.approx(busy, abs=0.1)
    assert costs.compute["spot"] == pytest.approx(costs.vcpu_h * costs.prices["spot"])
    assert costs.per_tb == {}, "too small to tell of larger ones"
    assert costs.source_bytes == 6 * 192 * 192


def test_lost_tries_of_a_pod_of_several_steps_take_no_time(aligned: Path, tmp_path: Path) -> None:
    """They stand under the name of the pod, between which hours may lie; the stages log their own work."""
    before = costs_of(Store(str(aligned)))
    shutil.copytree(aligned, out := tmp_path / "out")
    store = Store(str(out))
    log_lost(store, "all", 0, "preempted")
    log_lost(store, "all", 0, "memory")
    after = costs_of(store)
    assert (after.timed, after.left_s, after.vcpu_h) == (before.timed, before.left_s, before.vcpu_h)
    assert [(s.step, s.lost) for s in after.stages if s.lost] == [("all", {"preempted": 1, "memory": 1})]


def test_the_estimate_of_a_run_lies_beside_its_logs(aligned: Path) -> None:
    found = Store(str(aligned)).document(Estimate, "process/estimate.json")
    assert found.basis == "headers"
    assert found.slices == 6


def test_an_aligned_run_says_what_its_other_stages_will_take(only_aligned: Path) -> None:
    costs = Store(str(only_aligned)).document(Costs, "process/costs.json")
    assert costs.left_s > 0
    assert "What is left will take about" in (only_aligned / "report.html").read_text()


@pytest.mark.parametrize("lost", [None, b"{}", b"no document"])
def test_without_an_estimate_nothing_is_compared(only_aligned: Path, tmp_path: Path, lost: bytes | None) -> None:
    out = tmp_path / "out"
    shutil.copytree(only_aligned, out)
    file = out / "process" / "estimate.json"
    file.unlink()
    if lost is not None:
        file.write_bytes(lost)
    costs = costs_of(Store(str(out)))
    assert costs.left_s == 0
    assert {s.estimated_s for s in costs.stages} == {None}
    assert costs.cpu_s > 0


@pytest.mark.properties
def test_show_tells_costs_of_runs_that_have_ended_and_of_others(aligned: Path, only_aligned: Path) -> None:
    ended, going = (cli("show", out, "--cost") for out in (aligned, only_aligned))
    assert ended.returncode == going.returncode == 0
    for line in (
        r"stage +units of work +expected +CPU time",
        r"reduce +6 ",
        r"all +CPU [\d.]+ s; 0\.\d+ vCPU hours",
        r"compute +less than \$0\.01 \(spot\), ",
    ):
        assert re.search(line, ended.stdout), line
    assert re.search(r"left +about [\d.]+ s of CPU time", going.stdout)
    value = json.loads(cli("show", "--run", aligned, "--cost", "-o", "json").stdout)
    # a stack of less than a GB
    assert (value["per_tb"], "per TB" in ended.stdout) == ({}, False)
    costs = costs_of(Store(str(aligned)))
    large = costs.model_copy(update={"source_bytes": 10**12})
    assert large.per_tb == pytest.approx(costs.compute)
    assert large.per_tb["on demand"] > large.per_tb["spot"] > 0


def test_costs_of_no_run_are_refused(tmp_path: Path) -> None:
    shown = cli("show", tmp_path, "--cost")
    assert shown.returncode == 2
    assert "plan.json" in shown.stderr


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=12), st.data(), st.floats(0, 1e6))
def test_time_left_is_never_negative_and_ends_at_nothing(
    seconds: list[float], data: st.DataObject, elapsed_s: float
) -> None:
    expected = {str(k): s for k, s in enumerate(seconds)}
    done = {step: data.draw(st.floats(0, 1.5)) for step in expected}
    left = left_s(expected, done, elapsed_s)
    assert math.isfinite(left)
    assert left >= -1e-6 * sum(seconds)
    assert left_s(expected, dict.fromkeys(expected, 1.0), elapsed_s) == pytest.approx(0, abs=1e-6)


def test_time_left_follows_what_the_run_shows() -> None:
    expected = {"reduce": 60.0, "render": 60.0}
    assert left_s(expected, {}, 0) == pytest.approx(120)
    # half of it took four times as long as expected
    assert left_s(expected, {"reduce": 1}, 240) == pytest.approx(240, rel=0.1)
