"""Sizes of the slices of a stack: a restarted microscope may image a larger or smaller field from then on."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from pydantic import Field

from clio_argo.model.base import Value

# a wrong crop or an unexpected file concerns one slice or a few; as many slices tell a jump of the stage
FEWEST_ALIKE = 8
# sizes that a line of text holds
MOST_SIZES = 4
# smaller slices are left to OpenCV: loading compiled code takes a process as long as 40 of this size save
COMPILED_PX = 2**20
Size = tuple[int, int]


class SizeRun(Value):
    """Consecutive slices of one size in pixels."""

    z: int = Field(description="Number of the first slice.")
    slices: int = Field(description="Number of slices.")
    width: int
    height: int


def usual_size(sizes: Sequence[Size]) -> Size:
    """The size (width, height) of most slices; of the first of them on a tie."""
    return Counter(sizes).most_common(1)[0][0]


def accept_sizes(sizes: Sequence[Size]) -> list[bool]:
    """For each slice, in order of z, whether its size is the usual one or that of at least eight slices in a row."""
    usual = usual_size(sizes)
    accepted: list[bool] = []
    for size, run in groupby(sizes):
        slices = len(list(run))
        accepted += [size == usual or slices >= FEWEST_ALIKE] * slices
    return accepted


def size_runs(slices: Sequence[tuple[int, Size]]) -> tuple[SizeRun, ...]:
    """Runs of slices of one size; `slices` are (z, size) in order of z."""
    runs = [list(run) for _, run in groupby(slices, key=lambda s: s[1])]
    return tuple(SizeRun(z=r[0][0], slices=len(r), width=r[0][1][0], height=r[0][1][1]) for r in runs)


def describe_sizes(runs: Sequence[SizeRun]) -> str:
    """Sizes and where they change, as in: 5000 x 4000 pixels, from z 812 on 5200 x 4000 pixels."""
    texts = [
        f"{f'from z {r.z} on ' if i else ''}{r.width} x {r.height} pixels" for i, r in enumerate(runs[:MOST_SIZES])
    ]
    more = len(runs) - MOST_SIZES
    return ", ".join([*texts, *([f"and {more} more changes"] if more > 0 else [])])
