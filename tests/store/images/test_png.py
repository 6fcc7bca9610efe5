"""PNG files: their header chunk, checksums, and chunks that lie."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.store.images import decode
from clio_argo.store.images.base import Page, Undecodable, Unreadable
from tests.store.images.samples import GREY8, SAMPLES, decode_or_none, headers, png, png_chunk


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_without_pixels_is_unreadable(size: tuple[int, int]) -> None:
    with pytest.raises(Unreadable):
        headers(png(GREY8, size=size))


@given(st.data())
def test_any_flipped_bit_of_a_png_is_found_by_decoding(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["grey PNG", "16-bit PNG", "1-bit PNG", "interlaced PNG"]))
    sample = SAMPLES[kind]()
    flipped = bytearray(sample.data)
    flipped[data.draw(st.integers(0, len(flipped) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    pixels = decode_or_none(bytes(flipped), sample.suffix, str(sample.pixels.dtype))
    assert pixels is None or np.array_equal(pixels, sample.pixels)


@pytest.mark.parametrize("kind", [b"IDAT", b"IEND", b"tEXt"])
def test_a_chunk_that_claims_gigabytes_is_refused_before_there_is_room_for_them(kind: bytes) -> None:
    data = SAMPLES["grey PNG"]().data
    whole = data[:33] + png_chunk(b"tEXt", b"Comment\0x") + data[33:]
    at = whole.index(kind) - 4
    damaged = whole[:at] + struct.pack(">I", 2**31 - 8) + whole[at + 4 :]
    with pytest.raises(Undecodable, match="one of its chunks ends behind the file"):
        decode(io.BytesIO(damaged), Page())
