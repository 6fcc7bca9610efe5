"""Means of planes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import DTypeLike

from clio_argo.kernels.blend import BAND, blend


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.uint8, np.uint16]), st.integers(1, 9), st.integers(1, 9))
def test_mean_of_two_planes_is_rounded(seed: int, dtype: DTypeLike, a: int, b: int) -> None:
    random = np.random.default_rng(seed)
    planes = random.integers(0, np.iinfo(dtype).max + 1, (2, BAND + 3, 5)).astype(dtype)
    mean = blend(list(planes), [np.ones(planes.shape[1:], np.bool_)] * 2, (a, b))
    exact = np.average(planes.astype(float), axis=0, weights=(a, b))
    assert mean.dtype == dtype
    assert np.abs(mean - exact).max() <= 0.5


@pytest.mark.parametrize("reached", [(True, False), (False, True), (False, False)])
def test_only_planes_that_reach_a_pixel_count(reached: tuple[bool, bool]) -> None:
    planes = [np.full((2, 2), v, np.uint8) for v in (100, 200)]
    masks = [np.full((2, 2), v) for v in reached]
    expected = {(True, False): 100, (False, True): 200, (False, False): 100}[reached]
    assert (blend(planes, masks, (1, 3)) == expected).all()
