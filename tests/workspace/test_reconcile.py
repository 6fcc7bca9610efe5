"""What the stages of a run were expected to take and took: kept beside the logs, in the report, and nowhere else."""

import json
from pathlib import Path

import pytest

from clio_argo.model.costs import Estimate
from clio_argo.model.run import Costs
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.workspace.logs import read_attempts
from tests.stacks import cli, completion, request, run_here


def test_all_stages_but_the_last_are_compared(aligned: Path) -> None:
    costs = Store(str(aligned)).document(Costs, completion(aligned).costs)
    assert [s.step for s in costs.stages] == [
        s.name for s in PIPELINE.steps if s.name not in ("publish", "coarsen", "rematch")
    ]
    assert all(s.estimated_s is not None and s.cpu_s > 0 for s in costs.stages)
    attempts, _ = read_attempts(Store(str(aligned)))
    busy = sum(a.wall_s for a in attempts if a.step != "publish")
    assert costs.vcpu_h * 3600 == pytest.approx(busy, abs=0.1)
    assert costs.per_tb["spot"] == pytest.approx(costs.vcpu_h * costs.prices["spot"] / costs.source_bytes * 1e12)
    assert costs.source_bytes == 6 * 192 * 192


def test_the_estimate_of_a_run_lies_beside_its_logs(aligned: Path) -> None:
    found = Store(str(aligned)).document(Estimate, "process/estimate.json")
    assert found.basis == "headers"
    assert found.slices == 6


def test_an_aligned_run_says_what_its_other_stages_will_take(stack: Path, tmp_path: Path) -> None:
    out = run_here(request(stack), tmp_path / "out", stop_before="render")
    costs = Store(str(out)).document(Costs, "process/costs.json")
    assert costs.left_s > 0
    assert "Stages that have not begun will take about" in (out / "report.html").read_text()


@pytest.mark.parametrize("lost", [None, b"{}", b"no document"])
def test_without_an_estimate_nothing_is_compared(stack: Path, tmp_path: Path, lost: bytes | None) -> None:
    out = run_here(request(stack, alignment__skip=True), tmp_path / "out", stop_before="publish")
    file = out / "process" / "estimate.json"
    file.unlink()
    if lost is not None:
        file.write_bytes(lost)
    # what is left to do, and what the first step writes anew
    done = cli("show", out, "--cost", "-o", "json")
    assert done.returncode == 2 or json.loads(done.stdout)["left_s"] == 0
