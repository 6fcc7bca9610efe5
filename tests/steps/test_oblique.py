"""Tissue that runs obliquely stays as it was recorded, and is followed where a person says that the stage drifted."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.stacks import Image, lossless, request, run_here, transforms, write_stack

Floats = NDArray[np.float64]
SLICES, SIDE = 60, 224
PATHS: dict[str, Callable[[Floats], Floats]] = {
    # 0.3 px a slice on both axes
    "straight": lambda z: np.stack([0.3 * z, 0.3 * z], 1),
    # the same on the whole, there and back
    "curved": lambda z: np.stack([0.3 * z * (1 - z / SLICES), 0.3 * z * (z / SLICES - 1)], 1) * 2,
}


def sheared(demo: Path, path: Floats) -> dict[int, Image]:
    """Registered slices, whose tissue is moved within the frame by (x, y) pixels a slice."""
    margin = (min(lossless(demo).shape[1:]) - SIDE) // 2
    planes = zip(lossless(demo)[:SLICES], path - path.mean(0) - margin, strict=True)
    return {
        z: np.asarray(cv2.warpAffine(plane, np.c_[np.eye(2), shift], (SIDE, SIDE), flags=cv2.INTER_CUBIC))
        for z, (plane, shift) in enumerate(planes)
    }


def positions(out: Path) -> Floats:
    """Where alignment put the middle of each frame, (x, y) from their mean."""
    middle = np.array([SIDE / 2, SIDE / 2, 1])
    found = np.array([np.reshape(s.matrix, (2, 3)) @ middle for s in transforms(out).slices if s.matrix])
    return np.asarray(found - found.mean(0))


def placed(demo: Path, name: str, folder: Path, trend: str) -> Floats:
    path = PATHS[name](np.arange(SLICES, dtype=float))
    config = request(write_stack(folder / name, sheared(demo, path)), alignment__trend=trend)
    return positions(run_here(config, folder / f"{name}-{trend}", stop_before="render"))


@pytest.mark.properties
@pytest.mark.parametrize("name", PATHS)
def test_frames_that_nothing_moved_stay_on_real_oblique_tissue(name: str, demo: Path, tmp_path: Path) -> None:
    assert np.sqrt((placed(demo, name, tmp_path, "auto") ** 2).sum(1).mean()) <= 1


@pytest.mark.properties
def test_one_setting_follows_oblique_tissue(demo: Path, tmp_path: Path) -> None:
    straight, curved = (placed(demo, name, tmp_path, "images") for name in PATHS)
    expected = np.subtract(*(path(np.arange(SLICES, dtype=float)) for path in PATHS.values()))
    errors = curved - straight - (expected - expected.mean(0))
    # tissue's own course is in both
    assert np.sqrt((errors**2).sum(1).mean()) < 1
