"""Pixels of files of every kind, whole and damaged."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.store.images import grey
from clio_argo.store.images.base import Undecodable
from tests.store.images.samples import HUGE, HUGE_FILES, REFUSED, SAMPLES, decode_or_none, decoded, one, planned


@pytest.mark.parametrize("kind", SAMPLES)
def test_slices_of_every_kind_decode_to_their_grey_values(tmp_path: Path, kind: str) -> None:
    sample = SAMPLES[kind]()
    pixels = decoded(tmp_path, f"slice{sample.suffix}", sample.data, str(sample.pixels.dtype))
    assert pixels.dtype == sample.pixels.dtype
    assert pixels.dtype.isnative
    difference = np.abs(pixels.astype(int) - sample.pixels.astype(int)).max()
    assert difference <= sample.tolerance


@pytest.mark.parametrize("kind", [">u2", "<u2", ">i2", ">f4"])
def test_values_have_the_byte_order_of_the_machine(kind: str) -> None:
    found = grey(np.arange(6, dtype=kind).reshape(2, 3))
    assert found.dtype.isnative
    assert found.ravel().tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_grey_is_refused_with_a_reason(tmp_path: Path, kind: str) -> None:
    suffix, make = REFUSED[kind]
    with pytest.raises(Undecodable, match="grey"):
        decoded(tmp_path, f"slice{suffix}", make())


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_file_truncated_since_it_was_planned_does_not_decode(tmp_path: Path, kind: str) -> None:
    sample = SAMPLES[kind]()
    with pytest.raises(Undecodable):
        decoded(tmp_path, f"slice{sample.suffix}", sample.data[: len(sample.data) * 2 // 3], str(sample.pixels.dtype))


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_a_damaged_file_decodes_to_the_planned_shape_or_is_refused(kind: str, data: st.DataObject) -> None:
    sample = SAMPLES[kind]()
    damaged = bytearray(sample.data)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged)))
        damaged[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    pixels = decode_or_none(bytes(damaged), sample.suffix, str(sample.pixels.dtype))
    assert pixels is None or (pixels.shape, pixels.dtype) == (sample.pixels.shape, sample.pixels.dtype)


@given(st.binary(max_size=100))
def test_random_bytes_are_refused(data: bytes) -> None:
    assert decode_or_none(data, ".png", "uint8") is None


@pytest.mark.parametrize("name", ["PNG", "JPEG"])
def test_pixels_beyond_what_the_decoder_allows_are_refused_unpacked(tmp_path: Path, name: str) -> None:
    source, entry = one(tmp_path, "slice.png", HUGE_FILES[name]())
    with pytest.raises(Undecodable):
        source.decode(planned(entry, height=HUGE, width=HUGE))
