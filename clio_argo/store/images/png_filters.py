"""Undoes the filters of PNG rows (PNG specification, 9), compiled."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clio_argo.compiled import compiled, inlined, inner

Bytes = NDArray[np.uint8]
Rows = tuple[Bytes, Bytes, Bytes, Bytes]
Whole = np.int64
Predict = Callable[[Whole, Whole, Whole], Whole]
Undo = Callable[[Bytes, Bytes, int, Bytes, int], int]
NONE, LEFT, ABOVE, MEAN = range(4)
# rows that are undone at once, each a sample behind the one above it: a processor then waits for none of them
AT_ONCE = 4


def unfiltered(rows: Bytes, sample_bytes: int) -> Bytes:
    """Bytes [y, x] of rows [y, 1 + x], which begin with the kind of their filter."""
    samples = np.empty((rows.shape[0], rows.shape[1] - 1), np.uint8)
    _undo(rows, samples, sample_bytes)
    return samples


@inlined
def _left(left: Whole, _above: Whole, _corner: Whole) -> Whole:
    return left


@inlined
def _mean(left: Whole, above: Whole, _corner: Whole) -> Whole:
    return (left + above) >> 1


@inlined
def _paeth(left: Whole, above: Whole, corner: Whole) -> Whole:
    """The one of the three that is nearest to left + above - corner."""
    third, low, high = 3 * corner - left - above, min(left, above), max(left, above)
    if third <= low:
        return high
    return low if high <= third else corner


@inlined
def _at_once(rows: Bytes, y: int, step: int) -> int:
    """How many rows [y, 1 + x] are undone at once, from y on: 1 or 4, which have one filter."""
    kind, (height, width) = rows[y, 0], rows.shape
    for k in range(1, AT_ONCE):
        if y + k >= height or rows[y + k, 0] != kind:
            return 1
    return AT_ONCE if width > AT_ONCE * step else 1


def _undoing(predict: Predict) -> Undo:
    """What undoes the filter that expects of a byte what `predict` tells from three others."""

    @inner
    def one(row: Bytes, above: Bytes, out: Bytes, step: int, begin: int, end: int) -> None:
        """A row [x], of which every `step`th byte counts from `begin` on."""
        for i in range(begin, end, step):
            left, corner = (Whole(out[i - step]), Whole(above[i - step])) if i >= step else (Whole(0), Whole(0))
            out[i] = np.uint8(predict(left, Whole(above[i]), corner) + row[i])

    @inner
    def four(rows: Rows, above: Bytes, out: Rows, step: int, lane: int) -> None:
        """Four rows [x], of which every `step`th byte counts from `lane` on."""
        row_a, row_b, row_c, row_d = rows
        out_a, out_b, out_c, out_d = out
        first, width = lane + 3 * step, above.size
        one(row_a, above, out_a, step, lane, first)
        one(row_b, out_a, out_b, step, lane, first - step)
        one(row_c, out_b, out_c, step, lane, first - 2 * step)
        # the last byte of each row, and the one above it
        a, b, c, d = Whole(out_a[first - step]), Whole(out_b[first - 2 * step]), Whole(out_c[lane]), Whole(0)
        e, f, g, h = Whole(above[first - step]), Whole(out_a[first - 2 * step]), Whole(out_b[lane]), Whole(0)
        for i in range(first, width, step):
            up = Whole(above[i])
            d, h = (predict(d, c, h) + Whole(row_d[i - 3 * step])) & 255, c
            c, g = (predict(c, b, g) + Whole(row_c[i - 2 * step])) & 255, b
            b, f = (predict(b, a, f) + Whole(row_b[i - step])) & 255, a
            a, e = (predict(a, up, e) + Whole(row_a[i])) & 255, up
            out_d[i - 3 * step], out_c[i - 2 * step] = np.uint8(d), np.uint8(c)
            out_b[i - step], out_a[i] = np.uint8(b), np.uint8(a)
        last = width - step + lane
        one(row_b, out_a, out_b, step, last, width)
        one(row_c, out_b, out_c, step, last - step, width)
        one(row_d, out_c, out_d, step, last - 2 * step, width)

    @inner
    def undo(rows: Bytes, samples: Bytes, y: int, above: Bytes, step: int) -> int:
        """Rows [y, 1 + x] from y on, below the samples `above` [x]; how many."""
        count = _at_once(rows, y, step)
        for lane in range(step):
            if count == 1:
                one(rows[y, 1:], above, samples[y], step, lane, above.size)
            else:
                filtered = (rows[y, 1:], rows[y + 1, 1:], rows[y + 2, 1:], rows[y + 3, 1:])
                four(filtered, above, (samples[y], samples[y + 1], samples[y + 2], samples[y + 3]), step, lane)
        return count

    return undo


_undo_left, _undo_mean, _undo_paeth = _undoing(_left), _undoing(_mean), _undoing(_paeth)


@compiled("void(Array(uint8, 2, 'C', readonly=True), uint8[:, ::1], int64)")
def _undo(rows: Bytes, samples: Bytes, step: int) -> None:
    """Fill samples [y, x] from rows [y, 1 + x]; step: bytes of a sample."""
    above, y = np.zeros(samples.shape[1], np.uint8), 0
    while y < len(rows):
        kind, count = rows[y, 0], 1
        if kind == NONE:
            samples[y] = rows[y, 1:]
        elif kind == ABOVE:
            samples[y] = rows[y, 1:] + above
        elif kind == LEFT:
            count = _undo_left(rows, samples, y, above, step)
        elif kind == MEAN:
            count = _undo_mean(rows, samples, y, above, step)
        else:
            count = _undo_paeth(rows, samples, y, above, step)
        y += count
        above = samples[y - 1]
