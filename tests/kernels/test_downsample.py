"""Means of coarser scales against tensorstore's, whichever way they are computed."""

import numpy as np
import tensorstore as ts
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clio_argo.kernels.downsample import coarser

even = st.tuples(*[st.integers(0, 6).map(lambda n: 2 * n)] * 3)
shapes = st.tuples(st.sampled_from([2, 4, 6]), st.sampled_from([2, 4, 10]), st.sampled_from([8, 16, 24]))
odd_shapes = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 17))


def by_tensorstore(voxels, begin, factor):
    view = ts.downsample(ts.array(voxels).translate_to[begin], factor, method="mean")
    return view.read().result(), (view.domain.inclusive_min, view.domain.exclusive_max)


@given(shapes.flatmap(lambda shape: arrays(np.uint8, shape)), even)
def test_whole_words_as_tensorstore(voxels, begin):
    found, box = coarser(voxels, begin, (2, 2, 2))
    expected, (low, high) = by_tensorstore(voxels, begin, (2, 2, 2))
    assert np.array_equal(found, expected)
    assert (box.begin, box.end) == (low, high)


@given(odd_shapes.flatmap(lambda shape: arrays(np.uint8, shape)), st.tuples(*[st.integers(0, 5)] * 3))
def test_odd_blocks_as_tensorstore(voxels, begin):
    found, box = coarser(voxels, begin, (2, 2, 2))
    expected, (low, high) = by_tensorstore(voxels, begin, (2, 2, 2))
    assert np.array_equal(found, expected)
    assert (box.begin, box.end) == (low, high)


def test_every_sum_rounds_halves_to_even():
    totals = np.arange(8 * 255 + 1)
    cells = (totals[:, None] + np.arange(8)) // 8  # eight numbers that add up to the total
    assert (cells.sum(1) == totals).all()
    voxels = np.tile(cells.astype(np.uint8).reshape(-1, 2, 2), (1, 1, 4))
    assert np.array_equal(coarser(voxels, (0, 0, 0), (2, 2, 2))[0][:, 0, 0], np.rint(totals / 8))


def test_views_and_16_bit_as_tensorstore():
    random = np.random.default_rng(0)
    for dtype in (np.uint8, np.uint16):
        voxels = random.integers(0, 2, (8, 16, 32), dtype) * np.iinfo(dtype).max
        for part in (voxels, voxels[2:6, 4:8, 8:24], voxels[:, :, ::2]):
            found, _ = coarser(part, (0, 0, 0), (2, 2, 2))
            assert np.array_equal(found, by_tensorstore(part, (0, 0, 0), (2, 2, 2))[0])
