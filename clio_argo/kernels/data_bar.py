"""Finds the bar of text that scanning electron microscopes write below the picture."""

import numpy as np

from clio_argo.kernels import Image
from clio_argo.model.alignment import Floats

# bars are up to a tenth of the height
PART = 4
# neighbours in a row that are equal: text 0.77 to 0.84, saved as JPEG 0.47 to 0.77; tissue 0.01 to 0.11
LEAST_SAME, MOST_SAME = 0.4, 0.3
# rows of JPEG that may hold both
BLOCK = 8
# chosen: fewer rows hold no text
LEAST_ROWS = 8
# of the bar: one grey value 0.84 to 0.92, text 0.07
LEAST_BACKGROUND, LEAST_TEXT = 0.6, 0.002


def data_bar_rows(pixels: Image) -> int:
    """Rows of a data bar at the bottom of a slice [y, x]; 0 if there is none for certain.

    Its rows are mostly of one grey value, others stand on it, and tissue ends right above it. A fill holds no text, and
    the edge of a turned one crosses many rows.
    """
    height, width = pixels.shape
    rows = pixels[height - height // PART :]
    # most slices end in tissue, and cost nothing more
    if width < 2 or len(rows) <= LEAST_ROWS or _same(rows[-LEAST_ROWS:]).min() < LEAST_SAME:
        return 0
    same = _same(rows)
    tissue = np.flatnonzero(same < LEAST_SAME)
    if not len(tissue) or same[max(0, tissue[-1] - BLOCK) : tissue[-1] + 1].min() > MOST_SAME:
        return 0
    bar = rows[tissue[-1] + 1 :]
    return len(bar) if _is_text(bar) else 0


def _same(rows: Image) -> Floats:
    """Fraction of the neighbours in each row of an image [y, x] that are equal."""
    return np.asarray((rows[:, 1:] == rows[:, :-1]).mean(1), np.float64)


def _is_text(bar: Image) -> bool:
    """Whether an image [y, x] shows something on a background of one grey value."""
    counts = np.bincount(bar.ravel(), minlength=int(np.iinfo(bar.dtype).max) + 1)
    away = np.abs(np.arange(len(counts)) - counts.argmax()) > len(counts) / 4
    return bool(counts.max() >= LEAST_BACKGROUND * bar.size and counts[away].sum() >= LEAST_TEXT * bar.size)
