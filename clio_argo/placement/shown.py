"""Which part of the files the volume shows: without data bars, and as far as the user wants."""

from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

from clio_argo.kernels.render import on_canvas
from clio_argo.model.alignment import Floats, Matrix, Shown, SliceStatistics, compose, homogeneous
from clio_argo.model.plan import SliceFile
from clio_argo.model.regions import SourceCrop
from clio_argo.model.sizes import Size

# of the slices: bars of one height are certain in so many. Blocks of JPEG may hide some of their rows
ALIKE, BLOCK_PX = 0.9, 8


def shown_part(crop: SourceCrop, statistics: Sequence[SliceStatistics]) -> Shown:
    """The part that the user wants; without a wish all but a data bar that nine of ten slices have."""
    if crop.x or crop.y:
        return Shown(x=crop.x, y=crop.y)
    rows = [s.data_bar_px for s in statistics if s.usable]
    usual = median(rows) if rows else 0
    alike = [n for n in rows if n and abs(n - usual) < BLOCK_PX]
    return Shown(data_bar_px=max(alike) if alike and len(alike) >= ALIKE * len(rows) else 0)


def place_shown(
    placed: Mapping[int, Floats], files: Mapping[int, SliceFile], shown: Shown
) -> tuple[dict[int, Matrix], Size]:
    """Move all slices by whole pixels so that the canvas begins where what is shown of them begins.

    placed: matrices [2, 3] or [3, 3] by z, from pixels of the file. Returns the same on the canvas, and its size.
    """
    boxes = {z: shown.box(*files[z].size) for z in placed}
    x, y = shown.origin
    to_file = np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])
    moved = {z: (homogeneous(m) @ to_file)[:2] for z, m in placed.items()}
    sizes = {z: (right - left, bottom - top) for z, (left, top, right, bottom) in boxes.items()}
    matrices, size = on_canvas(moved, sizes)
    return {z: compose(m, ((1, 0, -x), (0, 1, -y))) for z, m in matrices.items()}, size
