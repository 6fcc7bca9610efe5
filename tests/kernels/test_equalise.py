"""CLAHE, compiled, against OpenCV's."""

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.kernels import contrast, equalise
from tests.stacks import FIRST, demo_slice


def exact(pixels: np.ndarray, clip_limit: float, tile: tuple[int, int]) -> np.ndarray:
    """The same in double precision, before rounding."""
    tables = equalise._tables(pixels, clip_limit, tile).astype(float)
    places = [
        (np.arange(n) / side - 0.5).clip(0, count - 1)
        for n, side, count in zip(pixels.shape, tile, tables.shape, strict=False)
    ]
    (y0, x0), (y, x) = ([p.astype(int) for p in places], [p % 1 for p in places])
    y1, x1 = (np.minimum(p + 1, n - 1) for p, n in zip((y0, x0), tables.shape, strict=False))
    y, x = y[:, None], x[None]
    near, far = (tables[a[:, None], x0, pixels] * (1 - x) + tables[a[:, None], x1, pixels] * x for a in (y0, y1))
    return near * (1 - y) + far * y


@given(
    seed=st.integers(0, 99),
    tile=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    tiles=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    clip_limit=st.floats(0.01, 60),
    spread=st.integers(0, 255),
)
def test_bytes_are_those_of_opencv(
    seed: int, tile: tuple[int, int], tiles: tuple[int, int], clip_limit: float, spread: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = (rng.integers(0, spread + 1, (tile[0] * tiles[0], tile[1] * tiles[1])) + 255 - spread).astype(np.uint8)
    theirs = np.asarray(cv2.createCLAHE(clip_limit, tiles[::-1]).apply(pixels), int)
    ours = equalise.equalise(pixels, clip_limit, tile)
    assert np.abs(ours - theirs).max() <= 1
    # single precision tells which of two values is nearer, but where both are as near
    assert np.abs(ours - exact(pixels, clip_limit, tile)).max() < 0.5001


def test_large_slices_get_the_contrast_of_small_ones() -> None:
    slice_ = np.tile(demo_slice(FIRST, 320), (4, 5))
    padded = cv2.copyMakeBorder(slice_, 0, -1280 % 1024, 0, -1600 % 1024, cv2.BORDER_REFLECT_101)
    by_opencv = cv2.createCLAHE(0.02 * 256, (2, 2)).apply(padded)[:1280, :1600]
    assert np.count_nonzero(contrast.clahe(slice_, 0.02) != by_opencv) < 10
