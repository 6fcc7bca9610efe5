"""What `solve` fixes for later steps."""

from pathlib import Path

import numpy as np
import pytest

from tests.stacks import FIRST, demo_slice, lossless, plain, run_here, transforms, viewer, write_stack


@pytest.mark.parametrize("invert", [False, True])
def test_the_window_of_sixteen_bits_is_applied_once(invert: bool, tmp_path: Path) -> None:
    """Contrast spreads the window over the whole range; the viewer volume must not spread it again."""
    slices = {z: demo_slice(z).astype(np.uint16) * 55 + 18000 for z in range(FIRST, FIRST + 3)}
    source = write_stack(tmp_path / "source", slices)
    out = run_here(plain(source, contrast__clip_limit=0.02, contrast__invert=invert), tmp_path / "out")
    low, high = transforms(out).window or (0, 0)
    assert 18000 < low < high < 33000
    assert np.abs(viewer(out) - lossless(out) / 257).mean() < 6


def test_the_window_of_sixteen_bits_is_that_of_tissue(tmp_path: Path) -> None:
    """A frame of zeros around the tissue is none of its grey values."""
    windows = []
    for frame in (0, 30):
        slices = {z: np.pad(demo_slice(z).astype(np.uint16) * 20 + 29000, frame) for z in range(FIRST, FIRST + 3)}
        source = write_stack(tmp_path / str(frame), slices)
        windows.append(transforms(run_here(plain(source), tmp_path / f"out{frame}", stop_before="render")).window)
    assert np.allclose(*windows, atol=100)
