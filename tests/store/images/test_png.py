"""PNG files: their header chunk, checksums, and chunks that lie."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.store.images import decode
from clio_argo.store.images.base import Page, Undecodable, Unreadable
from tests.store.images.samples import GREY8, SAMPLES, decode_or_none, exif, headers, png, png_chunk


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


def beside(*chunks: tuple[bytes, bytes], behind: bool = False) -> bytes:
    """A PNG with chunks before its pixels, or behind them."""
    data = SAMPLES["grey PNG"]().data
    at = len(data) - 12 if behind else 33
    return data[:at] + b"".join(png_chunk(*c) for c in chunks) + data[at:]


EXIF = exif(4).tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("kind", [b"eXIf", b"tEXt"])
def test_a_damaged_chunk_beside_the_pixels_is_refused(kind: bytes) -> None:
    # libpng warns of it and goes on, and the picture would be turned otherwise
    data = beside((kind, EXIF))
    with pytest.raises(Undecodable, match=f"its chunk b'{kind.decode()}' is damaged"):
        decode(io.BytesIO(data.replace(EXIF, EXIF[:-1] + b"x")), Page())


def test_pixels_that_a_block_behind_them_would_turn_are_refused() -> None:
    with pytest.raises(Undecodable, match="an EXIF block behind its pixels asks to turn it"):
        decode(io.BytesIO(beside((b"eXIf", EXIF), behind=True)), Page())
    upright = beside((b"eXIf", exif(1).tobytes().removeprefix(b"Exif\0\0")), behind=True)
    assert np.array_equal(decode(io.BytesIO(upright), Page())[0], GREY8)


def test_an_endless_exif_block_is_refused() -> None:
    with pytest.raises(Unreadable, match="eXIf' has 2097152 bytes"):
        headers(beside((b"eXIf", bytes(2**21))))


def test_text_that_unfolds_into_gigabytes_is_not_unpacked() -> None:
    text = (b"zTXt", b"Comment\0\0" + zlib.compress(bytes(8_000_000)))
    data, began = beside(*[text] * 300), time.process_time()
    assert np.array_equal(decode(io.BytesIO(data), Page())[0], GREY8)
    assert time.process_time() - began < 1


def test_chunks_without_an_end_are_refused() -> None:
    data = SAMPLES["grey PNG"]().data
    with pytest.raises(Undecodable, match="no end mark among its first"):
        decode(io.BytesIO(data[:-12] + png_chunk(b"tEXt", b"IEND")), Page())


@pytest.mark.parametrize("mend", [False, True], ids=["as CRC says", "as Adler-32 says"])
def test_wrong_pixels_are_found_by_either_checksum(mend: bool) -> None:
    data = png(GREY8)
    # stored as they are, so that nothing but a checksum can tell
    rows = b"".join(b"\0" + row.tobytes() for row in GREY8)
    packed = bytearray(zlib.compress(rows, 0))
    packed[100] ^= 1
    wrong = png_chunk(b"IDAT", bytes(packed))
    wrong = wrong if mend else wrong[:-4] + png_chunk(b"IDAT", zlib.compress(rows, 0))[-4:]
    with pytest.raises(Undecodable):
        decode(io.BytesIO(data[:33] + wrong + data[-12:]), Page())
