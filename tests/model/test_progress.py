"""How far a run is and how fast its stages went: no unit is lost between the intervals of a rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.model.progress import Progress, StageProgress
from clio_argo.model.run import Attempt

NOON = 1.8e9  # of some day, as seconds since 1970
TRIES = st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e4), st.integers(0, 50)), min_size=1, max_size=20)


def attempt(started: float, wall_s: float, done: int, outcome: str = "done") -> Attempt:
    return Attempt(
        step="reduce", part=0, host="", started=NOON + started, wall_s=wall_s, cpu_s=0, peak_mib=0, done=done,
        outcome=outcome,
    )  # fmt: skip


def progress(*attempts: Attempt, units: int | None = 10, done: int = 4, amount: int = 160) -> Progress:
    stage = StageProgress(step="reduce", title="find features", done=done, units=units, kind="slice", amount=amount)
    return Progress(stages=(stage,), attempts=attempts, left_s=90.0)


@given(TRIES, st.floats(1e3, 1e6))
def test_a_rate_over_its_intervals_is_what_was_done(tries: list[tuple[float, float, int]], every_s: float) -> None:
    rate = progress(*(attempt(*one) for one in tries)).rate("reduce", every_s)
    units = sum(done for _, _, done in tries)
    if not units:
        assert rate == []
        return
    ended = [(begin, begin + max(1e-3, wall_s)) for begin, wall_s, done in tries if done]
    minutes = (max(end for _, end in ended) - min(begin for begin, _ in ended)) / 60
    slices = sum(value for _, value in rate) * minutes / len(rate)
    # times are floats of nine digits before the point: of a thousandth of a second a ten-thousandth is left
    assert slices == pytest.approx(16 * units, rel=1e-3)
    assert all(value >= 0 for _, value in rate)


def test_a_rate_is_that_of_each_minute() -> None:
    rate = progress(attempt(0, 60, 2), attempt(60, 60, 6)).rate("reduce")
    assert rate == [(NOON + 30, pytest.approx(32)), (NOON + 90, pytest.approx(96))]


@pytest.mark.parametrize(
    ("units", "done", "amount", "share", "text"),
    [
        (10, 4, 160, 0.4, "64 of 160 slices"),
        (10, 11, 160, 1.0, "160 of 160 slices"),
        (0, 0, 0, 1.0, "nothing to do"),
        (None, 0, 0, 0.0, "not known yet"),
    ],
)
def test_a_stage_is_told_in_what_people_count(
    units: int | None, done: int, amount: int, share: float, text: str
) -> None:
    stage = progress(units=units, done=done, amount=amount)["reduce"]
    assert (stage.share, str(stage)) == (share, text)


def test_lost_tries_are_told_apart_and_notebooks_show_a_table() -> None:
    told = progress(attempt(0, 60, 2), attempt(0, 5, 0, "preempted"))
    assert [a.outcome for a in told.lost] == ["preempted"]
    shown = told._repr_html_()
    assert shown.startswith("<b>Progress: 0 of 1 stages are done, about 1.5 min left</b>")
    assert "<th>reduce: find features</th><td>40%, 64 of 160 slices</td>" in shown
