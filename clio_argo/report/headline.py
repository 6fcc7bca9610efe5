"""How a run ended: its colour, its words, and the numbers that are computed for it."""

import math
from typing import Literal

from clio_argo.report.curves import direct_pairs, median_of, shift_px
from clio_argo.report.data import Picture, ReportData

Tone = Literal["green", "amber", "red"]
ENDED = {"complete": "Complete", "complete_with_flags": "Complete, with flags", "aligned": "Aligned, not rendered yet"}
# the XZ view first: there a person sees whether the stack jumps
VIEWS = ("XZ", "YZ", "XY")


def tone(data: ReportData) -> Tone:
    """Green: every slice is in place. Amber: complete, with something to look at. Red: the run stopped."""
    if data.status not in ENDED:
        return "red"
    transforms = data.transforms
    doubts = transforms.flagged or transforms.suspect or transforms.breaks or transforms.shown.data_bar_px
    return "amber" if doubts or data.status == "complete_with_flags" else "green"


def ending(data: ReportData) -> tuple[str, list[str]]:
    """How the run ended, and why it stopped, a line for each reason."""
    if data.status in ENDED:
        amber = data.status == "complete" and tone(data) == "amber"
        return ENDED["complete_with_flags" if amber else data.status], []
    first, *lines = data.status.splitlines() or [""]
    return f"Stopped: {first.removeprefix('stopped ').rstrip(':')}", [line.strip(" -") for line in lines]


def largest_shift_px(data: ReportData) -> float | None:
    """The farthest that the centre of a slice moved onto the slice below it."""
    shifts = (math.hypot(*shift_px(data, f)) for f in direct_pairs(data.transforms.fits).values())
    return max((s for s in shifts if math.isfinite(s)), default=None)


def median_residual_px(data: ReportData) -> float | None:
    """The median over the pairs of neighbours of their residuals."""
    return median_of(f.residual_px for f in direct_pairs(data.transforms.fits).values())


def ordered_views(data: ReportData) -> list[Picture]:
    """The pictures of the stack in the order in which they are shown."""
    return sorted(data.pictures, key=lambda p: (*VIEWS, p.title).index(p.title))


def is_web(url: str) -> bool:
    """Whether the page may link to the address: one of another scheme stays text."""
    return url.lower().startswith(("http://", "https://"))
