"""Which values of a stack become which grey values, where its files hold signed, wide or floating-point ones."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clio_argo.errors import UserError
from clio_argo.model.base import counted
from clio_argo.model.plan import Plan, SliceFile
from clio_argo.model.request import Request
from clio_argo.model.values import LEVELS, USED, own_range, stretched
from clio_argo.store.images.base import Undecodable
from clio_argo.store.sources.base import StackSource

# evenly over the stack
LOOK_AT = 8
# of whose values the outermost at either end may be hot pixels, and what marks no data
MOST_PX, TAIL = 2**20, 1e-4
ASK = "say which values become black and white: value_window: [LOW, HIGH]"


class Extent(NamedTuple):
    """Values that a slice holds: the least and the greatest, the same without tails, and whether all are whole."""

    least: float
    greatest: float
    low: float
    high: float
    whole: bool


def with_values(source: StackSource, usable: Sequence[SliceFile], request: Request) -> list[SliceFile]:
    """The slices of one type, with how its values become grey values by the request or by their own range.

    Raises `UserError` if the slices that are looked at show no range.
    """
    values = usable[0].values
    if values is None or (values.fits and request.value_window is None):
        return list(usable)
    if request.value_window is not None:
        low, step = stretched(*request.value_window, values.top)
    else:
        low, step = own_range(*_range(source, usable, request))
    values = values.model_copy(update={"low": low, "step": step})
    return [s.model_copy(update={"values": values}) for s in usable]


def _range(source: StackSource, usable: Sequence[SliceFile], request: Request) -> tuple[float, float, bool]:
    """Least and greatest value of some slices, one decoded at a time, and whether all of them are whole numbers."""
    found, faults = list[Extent](), list[str]()
    for slice_file in (c for s in usable[:: -(-len(usable) // LOOK_AT)] for c in s.each_channel):
        try:
            found += _extent(source.samples(slice_file)[0])
        except Undecodable as error:
            faults.append(f"{slice_file.name}: {error}")
    if not found:
        raise UserError.all(f"source {request.source}: no slice that was looked at holds a value; {ASK}", faults)
    least, greatest = min(e.least for e in found), max(e.greatest for e in found)
    if least == greatest:
        raise UserError(f"source {request.source}: all values of {counted(len(found), 'slice')} are {least:g}; {ASK}")
    low, high = min(e.low for e in found), max(e.high for e in found)
    whole = all(e.whole for e in found)
    if (whole and greatest - least < LEVELS) or low == high:
        return least, greatest, whole
    # marks of no data are clipped, all else is kept if that leaves room
    return low, high, whole and high - low <= USED


def _extent(samples: NDArray[Any]) -> list[Extent]:
    """The extent of the finite values of a slice [y, x]; none if it has none."""
    finite = samples[np.isfinite(samples)]
    if not finite.size:
        return []
    whole = finite.dtype.kind != "f" or bool(np.array_equal(finite, np.rint(finite)))
    some = finite[:: -(-finite.size // MOST_PX)]
    # of those that are there: the mean of two of the largest floats is infinite
    low, high = np.quantile(some, (TAIL, 1 - TAIL), method="inverted_cdf")
    return [Extent(float(finite.min()), float(finite.max()), float(low), float(high), whole)]


def value_window_problem(plan: Plan, request: Request) -> list[str]:
    """Why a `value_window` cannot be used; nothing if it can."""
    if request.value_window is None or plan.values is not None:
        return []
    return [f"value_window: is for signed, 32-bit and floating-point values, and the slices are {plan.dtype}; leave it "
            "out (viewer.window says which grey values the viewer shows)"]  # fmt: skip
