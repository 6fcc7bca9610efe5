"""Which sizes belong to a stack: a microscope that is restarted may image a larger or smaller field from then on."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from pydantic import Field

from clio_argo.model.base import Value

# as many slices as tell a jump of the stage from single slices out of place
FEWEST_ALIKE = 8
MOST_TOLD = 4
Size = tuple[int, int]


class SizeRun(Value):
    """Consecutive slices of one size in pixels."""

    z: int = Field(description="The first of them.")
    slices: int
    width: int
    height: int


def usual_size(sizes: Sequence[Size]) -> Size:
    """The size (width, height) of most slices; of the first of them on a tie."""
    return Counter(sizes).most_common(1)[0][0]


def belonging(sizes: Sequence[Size]) -> list[bool]:
    """For each slice, in order of z, whether its size is usual or that of at least eight slices in a row."""
    usual = usual_size(sizes)
    found: list[bool] = []
    for size, run in groupby(sizes):
        slices = len(list(run))
        found += [size == usual or slices >= FEWEST_ALIKE] * slices
    return found


def size_runs(slices: Sequence[tuple[int, Size]]) -> tuple[SizeRun, ...]:
    """Runs of slices, given as (z, size) in order of z."""
    runs = [list(run) for _, run in groupby(slices, key=lambda s: s[1])]
    return tuple(SizeRun(z=r[0][0], slices=len(r), width=r[0][1][0], height=r[0][1][1]) for r in runs)


def described(runs: Sequence[SizeRun]) -> str:
    """Sizes with the slices from which on they hold: 5000 x 4000 pixels, from z 812 on 5200 x 4000 pixels."""
    sizes = [f"{r.width} x {r.height} pixels" for r in runs[:MOST_TOLD]]
    told = [f"from z {r.z} on {s}" if i else s for i, (r, s) in enumerate(zip(runs, sizes, strict=False))]
    more = len(runs) - MOST_TOLD
    return ", ".join([*told, *([f"and {more} changes more"] if more > 0 else [])])
