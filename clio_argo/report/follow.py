"""The page of a stack that is watched while it is recorded; a browser that keeps it open shows it anew."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from clio_argo.model.alignment import centre_shift
from clio_argo.model.base import Value
from clio_argo.model.follow import FollowedSlice, FollowState
from clio_argo.report.curves import direct_pairs
from clio_argo.report.html import environment
from clio_argo.report.plots import Curve, Mark, Plot, Series, Strip

# cards with pictures of slices that are not good, the last first
MOST_CARDS = 30
# slices whose pace tells how fast slices come
PACE = 16


class FollowPage(Value):
    """What the page shows. slices: by z. pictures: their names by z. refresh_s: seconds until it is loaded again."""

    id: str
    source: str
    run: str
    version: str
    slices: Sequence[FollowedSlice]
    state: FollowState
    pictures: Mapping[int, str]
    refresh_s: int


def follow_html(data: FollowPage) -> str:
    """The whole page."""
    z = _range(data)
    wrong = [s for s in data.slices if s.wrong]
    cards = sorted(wrong, key=lambda s: (-s.seen_s, -s.z))[:MOST_CARDS]
    marks = [*_marks(wrong, {s.z for s in cards}), *(Mark("missing", m, f"z {m} missing") for m in data.state.missing)]
    return environment().get_template("follow.html.j2").render(
        data=data, marks=marks, cards=cards, strip=Strip(z, marks), wrong=wrong, pace=pace(data.slices),
        plots=[Plot(z, marks, curve) for curve in _curves(data, z)], when=_when,
        last=max(data.slices, key=lambda s: (s.seen_s, s.z), default=None),
    )  # fmt: skip


def _range(data: FollowPage) -> tuple[int, int]:
    numbers = [*(s.z for s in data.slices), *data.state.missing]
    return (min(numbers), max(numbers)) if numbers else (0, 0)


def _marks(wrong: Sequence[FollowedSlice], cards: set[int]) -> list[Mark]:
    verdicts = [Mark(s.remark.verdict, s.z, s.text, s.z in cards) for s in wrong
                if s.remark and s.remark.verdict != "good"]  # fmt: skip
    return [*verdicts, *(Mark("jump", s.z - 0.5, f"z {s.z} {s.jump}") for s in wrong if s.jump)]


def _curves(data: FollowPage, z: tuple[int, int]) -> list[Curve]:
    def along(title: str, unit: str, caption: str, value: Callable[[FollowedSlice], float]) -> Curve:
        values = {s.z: value(s) for s in data.slices if s.statistics.error is None}
        samples = [(n, y if math.isfinite(y := values.get(n, math.nan)) else None) for n in range(z[0], z[1] + 1)]
        return Curve(title, unit, caption, (Series(title.lower(), samples),))

    nearest = direct_pairs(f for s in data.slices for f in s.fits)

    def correlation(one: FollowedSlice) -> float:
        return nearest[one.z].correlation if one.z in nearest else math.nan

    def shift(one: FollowedSlice) -> float:
        matrix = nearest[one.z].matrix if one.z in nearest else None
        return math.hypot(*centre_shift(matrix, *data.state.size)) if matrix else math.nan

    return [
        along("Brightness", "grey value", "Mean grey value of each slice.", lambda s: s.statistics.mean),
        along("Contrast", "grey value", "Standard deviation of its grey values.", lambda s: s.statistics.std),
        along("Focus", "relative", "Strength of fine detail; a dip is a blurred slice.", lambda s: s.statistics.focus),
        along("Correlation", "", "Similarity to the nearest slice below; 1 is identical.", correlation),
        along("Shift", "px", "How far a slice is moved to match the slice below.", shift),
    ]


def pace(slices: Sequence[FollowedSlice]) -> float | None:
    """Slices in a minute, by the last that came one after the other; None: too few came."""
    times = sorted(s.seen_s for s in slices)[-PACE:]
    pauses = [b - a for a, b in pairwise(times) if b > a]
    return 60 / statistics.median(pauses) if pauses else None


def _when(seconds: float) -> str:
    """A time, in UTC: the page does not know where it is read."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
