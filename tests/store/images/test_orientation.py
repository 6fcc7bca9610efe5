"""Pictures are turned as they ask for."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clio_argo.store.images.orientation import exif_orientation, upright
from clio_argo.store.slices import Source
from tests.store.images.samples import GREY8, exif, pillow, png_chunk, slices, tiff, turned


def with_orientation(kind: str, value: int) -> bytes:
    """A picture of one kind with a value of the tag Orientation."""
    if kind == "tif":
        return tiff(GREY8, extratags=[(274, 3, 1, value, True)])
    return pillow(Image.fromarray(GREY8), "png" if kind == "png" else "jpeg", exif=exif(value))


@pytest.mark.parametrize("value", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("kind", ["tif", "png", "jpg"])
def test_a_picture_is_turned_as_other_readers_turn_it(tmp_path: Path, kind: str, value: int) -> None:
    data = with_orientation(kind, value)
    (tmp_path / f"1.{kind}").write_bytes(data)
    stored = np.asarray(Image.open(io.BytesIO(data))) if kind == "jpg" else GREY8
    [shown] = slices(Source(str(tmp_path)))
    assert np.array_equal(shown, turned(value, stored))


@given(st.integers(2, 8))
def test_a_turned_picture_lies_in_memory_row_by_row(value: int) -> None:
    assert upright(GREY8, value).flags.c_contiguous
    assert np.shares_memory(upright(GREY8, 1), GREY8)


@given(st.sampled_from([b"", b"II*\0", b"MM\0*"]), st.binary(max_size=60))
def test_any_block_has_an_orientation(order: bytes, block: bytes) -> None:
    assert isinstance(exif_orientation(order + block), int)


def test_an_exif_block_of_either_byte_order_behind_other_chunks_is_found(tmp_path: Path) -> None:
    data = pillow(Image.fromarray(GREY8), "png")
    for order, mark in (("<", b"II"), (">", b"MM")):
        tags = struct.pack(order + "HIHHHIHHI", 42, 8, 1, 274, 3, 1, 4, 0, 0)
        chunks = png_chunk(b"tEXt", b"Comment\0x") + png_chunk(b"eXIf", mark + tags)
        (tmp_path / "1.png").write_bytes(data[:33] + chunks + data[33:])
        [shown] = slices(Source(str(tmp_path)))
        assert np.array_equal(shown, GREY8[::-1])


def test_a_block_that_is_no_exif_turns_nothing() -> None:
    block = exif(3).tobytes().removeprefix(b"Exif\0\0")
    assert exif_orientation(block) == 3
    assert exif_orientation(block.replace(struct.pack(">HH", 274, 3), struct.pack(">HH", 274, 12))) == 1
    assert exif_orientation(block.replace(struct.pack(">I", 1), struct.pack(">I", 2049))) == 1
    assert exif_orientation(b"XX" + block[2:]) == exif_orientation(block[:2] + b"+" + block[3:]) == 1
