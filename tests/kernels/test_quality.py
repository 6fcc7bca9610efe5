"""What is measured of slices and pairs tells defects from tissue, noise and exposure."""

import cv2
import numpy as np
import pytest

from clio_argo.kernels.features import Reduced, reduce_slice
from clio_argo.kernels.match import fit_pair
from clio_argo.kernels.noise import noise_px
from clio_argo.kernels.quality import exposure, focus, stripes
from clio_argo.kernels.worst_tiles import displacement
from tests.defects import Image, blurred, bytes_of, covered, curtained, displaced
from tests.stacks import FIRST, demo_slice

SIZE = 320


def reduced(image: Image) -> Reduced:
    return reduce_slice(image, (SIZE, SIZE))


@pytest.fixture(scope="module")
def slices() -> tuple[Image, Image]:
    return demo_slice(FIRST, SIZE), demo_slice(FIRST + 1, SIZE)


def filled(image: Image) -> Image:
    """A black border as wide as after a jump of the stage."""
    copy = image.copy()
    copy[:, :60] = 0
    return copy


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_exposure_is_that_of_the_file_and_leaves_out_fills(slices: tuple[Image, Image], dtype: type) -> None:
    image = slices[0].astype(dtype) * (1 if dtype is np.uint8 else 100)
    inside = image[8:-8, 72:-8]
    assert exposure(reduced(filled(image))) == pytest.approx((inside.mean(), inside.std()), rel=0.03)


def test_exposure_of_nothing() -> None:
    assert exposure(reduced(np.zeros((200, 200), np.uint8))) == (0.0, 0.0)


def test_focus_falls_with_blur_and_hardly_with_noise_or_exposure(slices: tuple[Image, Image]) -> None:
    image = slices[0]
    noisy = bytes_of(image + np.random.default_rng(0).normal(0, 5, image.shape))
    sharp = focus(reduced(image))
    assert focus(reduced(blurred(image))) < 0.4 * sharp
    assert focus(reduced(cv2.GaussianBlur(image, (0, 0), 1.5))) < 0.8 * sharp
    assert focus(reduced(noisy)) == pytest.approx(sharp, rel=0.1)
    assert focus(reduced(bytes_of(image * 0.7 + 20))) == pytest.approx(sharp, rel=0.1)


def test_stripes_along_either_axis_are_seen(slices: tuple[Image, Image]) -> None:
    image = slices[0]
    for plain, striped in ((image, curtained(image)), (image.T, curtained(image).T)):
        assert stripes(reduced(striped)) > 3 * stripes(reduced(plain))
    assert stripes(reduced(filled(image))) == pytest.approx(stripes(reduced(image)), rel=0.3)


def test_a_fit_says_what_a_slice_hides_and_where_it_disagrees(slices: tuple[Image, Image]) -> None:
    fixed, moving = slices
    plain, dirty, shifted = (
        fit_pair(reduced(fixed), reduced(m), 0, 1) for m in (moving, covered(moving), displaced(moving))
    )
    assert plain.occluded == (0.0, 0.0)
    assert dirty.occluded == (0.0, pytest.approx(0.11, abs=0.04))
    assert dirty.worst_tile_correlation > 0.8
    assert plain.worst_tile_correlation > 0.9
    assert shifted.worst_tile_correlation < 0.7
    assert plain.coverage > 0.5
    assert 0.1 < plain.noise_px < shifted.noise_px
    assert 0 < plain.disagreement_px < 0.5 < shifted.disagreement_px


def test_a_fit_whose_windows_disagree_counts_less_than_its_correlation_says(slices: tuple[Image, Image]) -> None:
    fixed, moving = slices
    shifted = moving.copy()
    shifted[220:] = np.roll(moving[220:], 8, 1)
    plain, shifted_fit = (fit_pair(reduced(fixed), reduced(m), 0, 1) for m in (moving, shifted))
    assert plain.noise_px == pytest.approx(noise_px(plain.correlation), abs=1e-3)
    assert shifted_fit.noise_px > 1.3 * noise_px(shifted_fit.correlation)


def test_windows_that_are_mostly_masked_do_not_disagree(slices: tuple[Image, Image]) -> None:
    fixed, other = slices
    moved, mask = np.roll(other, 5, 1), np.ones(fixed.shape, np.bool_)
    mask[:, 160:] = False
    where = np.isfinite(displacement(fixed, moved, mask))
    assert where.any()
    assert where.sum() < np.isfinite(displacement(fixed, moved, np.ones_like(mask))).sum()
    assert displacement(fixed, moved, mask)[where] == pytest.approx(5, abs=2)
    assert not len(displacement(fixed[:60], moved[:60], mask[:60]))


def test_what_both_slices_lack_after_a_jump_is_not_hidden(slices: tuple[Image, Image]) -> None:
    fixed, moving = slices
    jumped = filled(np.roll(moving, 60, 1))
    fit = fit_pair(reduced(fixed), reduced(jumped), 0, 1)
    assert fit.matrix is not None
    assert fit.matrix[0][2] == pytest.approx(-60, abs=1)
    assert max(fit.occluded) < 0.01
