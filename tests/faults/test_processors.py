"""Spot pools mix processors: runs as on other ones, from the start and from places that this one found."""

from pathlib import Path

import pytest

from benchmarks.processors import (
    FIT_LIMIT_PX,
    WITHOUT_AVX2,
    WITHOUT_AVX512,
    fits_differ_px,
    run_on,
    same_places,
    voxels_differ,
)

SIDE_PX = 128
pytestmark = pytest.mark.properties


@pytest.mark.parametrize("processor", [WITHOUT_AVX512, WITHOUT_AVX2], ids=["with AVX2", "without"])
def test_other_processors_find_the_same_places(
    processor: dict[str, str], stack: Path, undisturbed: Path, tmp_path: Path
) -> None:
    other = run_on(processor, stack, tmp_path)
    assert fits_differ_px(undisturbed, other, SIDE_PX) <= FIT_LIMIT_PX


def test_processors_with_avx2_make_the_same_volume(stack: Path, undisturbed: Path, tmp_path: Path) -> None:
    placed = run_on(WITHOUT_AVX512, stack, tmp_path, *same_places(undisturbed))
    assert voxels_differ(undisturbed, placed) == (0, 0)


def test_older_processors_make_nearly_the_same_volume(stack: Path, undisturbed: Path, tmp_path: Path) -> None:
    most, share = voxels_differ(undisturbed, run_on(WITHOUT_AVX2, stack, tmp_path, *same_places(undisturbed)))
    assert most <= 1
    assert share <= 1e-4
