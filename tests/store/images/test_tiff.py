"""TIFF files: pages, directories, strips and tiles."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.store.images import read_headers
from clio_argo.store.images.base import Header, Undecodable, Unreadable
from clio_argo.store.slices import Source
from tests.store.images.samples import (
    GREY8,
    HEIGHT,
    REFUSED,
    SAMPLES,
    WIDTH,
    decode_or_none,
    decoded,
    headers,
    planned,
    texture,
    tiff,
)


def test_a_tiff_that_lacks_one_byte_is_truncated() -> None:
    assert headers(tiff(GREY8)[:-1])[0].truncated


def pages(*pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in pixels:
            writer.write(page, photometric="minisblack", metadata=None, contiguous=False)
    return buffer.getvalue()


def test_every_page_of_a_tiff_has_its_header() -> None:
    stack = np.stack([GREY8] * 5)
    assert headers(tiff(stack)) == [Header(width=WIDTH, height=HEIGHT, bits=8, channels=1)] * 5


def test_only_the_last_page_of_a_truncated_stack_is_truncated() -> None:
    data = pages(*[GREY8] * 5)
    assert [h.truncated for h in headers(data[:-10])] == [False] * 4 + [True]


def test_the_header_of_one_page_is_that_of_all() -> None:
    data = pages(GREY8, GREY8[:10], GREY8[:, :20])
    assert [read_headers(io.BytesIO(data), len(data), page) for page in range(3)] == [[h] for h in headers(data)]
    with pytest.raises(Unreadable):
        read_headers(io.BytesIO(data), len(data), 3)


@pytest.mark.parametrize("kind", ["float TIFF", "signed TIFF", "bilevel TIFF"])
def test_values_that_are_no_unsigned_grey_have_no_depth(kind: str) -> None:
    assert headers(REFUSED[kind][1]())[0].bits == 0


def test_a_palette_tiff_is_refused_by_what_it_is() -> None:
    with pytest.raises(Unreadable, match="PALETTE; convert it to plain grey"):
        headers(REFUSED["palette TIFF"][1]())


def test_a_tiff_with_holes_is_refused() -> None:
    buffer = io.BytesIO(tiff(GREY8, rowsperstrip=8))
    with tifffile.TiffFile(buffer, mode="r+b") as file:
        counts = file.pages[0].tags["StripByteCounts"]
        counts.overwrite([0, *counts.value[1:]])
    with pytest.raises(Unreadable, match="hold no data"):
        headers(buffer.getvalue())


def test_an_imagej_stack_behind_one_header_is_refused() -> None:
    data = tiff(np.stack([GREY8] * 3), imagej=True, metadata={"axes": "ZYX"})
    whole = headers(data)
    assert len(whole) == 3
    # what ImageJ itself writes above 4 GB: one directory, all images behind each other
    buffer = io.BytesIO(data)
    with tifffile.TiffFile(buffer) as file:
        second = file.pages[1].offset
        where = data.index(struct.pack(f"{file.byteorder}I", second))
    with pytest.raises(Unreadable, match="ImageJ file of 3 images"):
        headers(data[:where] + bytes(4) + data[where + 4 :])


@pytest.mark.parametrize("lost", [1, 100, 412])
def test_tiles_that_are_cut_off_are_not_taken_for_black(tmp_path: Path, lost: int) -> None:
    with pytest.raises(Undecodable, match="before its last pixels"):
        decoded(tmp_path, "slice.tif", SAMPLES["tiled TIFF"]().data[:-lost])


@given(st.integers(0, 7), st.integers(0, 10**6))
def test_a_flipped_bit_in_the_data_of_a_deflated_tiff_is_found_by_decoding(bit: int, place: int) -> None:
    whole = tiff(GREY8, compression="deflate")
    start = whole.index(b"\x78")
    flipped = bytearray(whole)
    flipped[start + place % (len(whole) - start)] ^= 1 << bit
    pixels = decode_or_none(bytes(flipped), ".tif", "uint8")
    assert pixels is None or np.array_equal(pixels, GREY8)


@pytest.mark.parametrize("size", [40, 900])
def test_every_page_of_a_stack_decodes_to_its_own_pixels(tmp_path: Path, size: int) -> None:
    # the larger stack is read piece by piece
    stack = np.stack([texture(height=size, width=size, seed=s) for s in range(4)])
    (tmp_path / "stack.tif").write_bytes(tiff(stack, compression="zlib" if size == 40 else None))
    source = Source(str(tmp_path / "stack.tif"))
    [entry] = source.entries()
    assert len(source.headers(entry)) == 4
    for page in (3, 0, 2, 1):
        assert np.array_equal(source.decode(planned(entry, page, height=size, width=size)), stack[page])


def test_a_page_of_a_large_stack_decodes_though_a_later_one_is_lost(tmp_path: Path) -> None:
    stack = np.stack([texture(height=900, width=900, seed=s) for s in range(4)])
    whole = tiff(stack, contiguous=False)
    (tmp_path / "stack.tif").write_bytes(whole)
    source = Source(str(tmp_path))
    [entry] = source.entries()
    (tmp_path / "stack.tif").write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    assert np.array_equal(source.decode(planned(entry, 0, height=900, width=900)), stack[0])
