"""Progress of a local run: bars of its stages and of the whole run, whose time left follows from the estimate."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from clio_argo.cli import progress
from clio_argo.cli.progress import Bars, TimeLeft
from clio_argo.model.costs import Estimate
from clio_argo.model.step import Counts, Part, StepResult
from clio_argo.store.documents import Store


@pytest.fixture
def planned(aligned: Path) -> StepResult:
    return StepResult(estimate=Store(str(aligned)).document(Estimate, "process/estimate.json"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_time_left_is_that_of_the_estimate_until_parts_were_slower(planned: StepResult, clock: list[float]) -> None:
    left = TimeLeft(1)
    assert left.seconds() is None
    left.part("plan", 1, planned)
    first = left.seconds()
    assert planned.estimate is not None
    plan, reduce = (next(s for s in planned.estimate.stages if s.step == step) for step in ("plan", "reduce"))
    # the clock stands still, so that `plan` was quicker than expected
    later_s = planned.estimate.cpu_s - plan.cpu_s
    assert first is not None
    assert 0 < first <= later_s
    # `reduce` took twenty times as long as expected
    clock[0] += 20 * reduce.cpu_s
    left.part("reduce", 1, StepResult())
    slower = left.seconds()
    assert slower is not None
    assert slower > 3 * (later_s - reduce.cpu_s)


def test_what_was_done_before_says_nothing_of_the_pace(planned: StepResult, clock: list[float]) -> None:
    left = TimeLeft(1)
    left.part("plan", 1, planned)
    first = left.seconds()
    left.part("reduce", 1, StepResult(counts=Counts(done=0, skipped=6)))
    assert planned.estimate is not None
    reduce = next(s for s in planned.estimate.stages if s.step == "reduce")
    assert first is not None
    now = left.seconds()
    assert now is not None
    # less of it is left, at about the same pace: how far the estimate is trusted follows from what is to be done
    assert 0 < now < first
    assert now > 0.6 * (first - reduce.cpu_s)


def test_bars_end_at_a_whole_run_of_100_percent(planned: StepResult) -> None:
    out = io.StringIO()
    with Bars(Console(file=out, force_terminal=True, width=200), 2) as bars:
        bars.stage("plan", "read headers", [Part(part=0)])
        bars.part("plan", Part(part=0), planned)
        assert planned.estimate is not None
        for stage in planned.estimate.stages[1:]:
            bars.stage(stage.step, "", [Part(part=0)])
            bars.part(stage.step, Part(part=0), StepResult())
    last = re.sub(r"\x1b\[[\d;?]*\w", "", out.getvalue()).splitlines()
    assert any(re.search(r"whole run .* 100/100 % .* left 0:00:00", line) for line in last)


def test_a_run_without_an_estimate_has_bars_of_stages_only() -> None:
    out = io.StringIO()
    with Bars(Console(file=out, force_terminal=True, width=200), 2) as bars:
        bars.stage("verify", "read", [Part(part=0)])
        bars.part("verify", Part(part=0), StepResult())
    assert "whole run" not in out.getvalue()
