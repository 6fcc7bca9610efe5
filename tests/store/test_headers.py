"""Headers of real files of every kind, whole and damaged."""

import io
import struct
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st

from clio_argo.store.headers import Header, Unreadable, read_headers
from tests.store.images import GREY8, HEIGHT, REFUSED, SAMPLES, WIDTH, encoded, png, tiff

HUGE = 60_000


def headers(data: bytes) -> list[Header]:
    return read_headers(io.BytesIO(data), len(data))


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_header_tells_size_depth_and_channels(kind: str) -> None:
    sample = SAMPLES[kind]()
    expected = Header(width=WIDTH, height=HEIGHT, bits=sample.bits, channels=sample.channels)
    assert headers(sample.data) == [expected]


@pytest.mark.parametrize("lost", [20, 100, 0.5])
@pytest.mark.parametrize("kind", SAMPLES)
def test_a_truncated_file_is_seen_without_its_pixels(kind: str, lost: float) -> None:
    data = SAMPLES[kind]().data
    cut = data[: -int(lost if lost > 1 else lost * len(data))]
    try:
        assert all(h.truncated for h in headers(cut))
    except Unreadable:
        assert kind == "TIFF with its directory at the end"


def test_a_tiff_that_lacks_one_byte_is_truncated() -> None:
    assert headers(tiff(GREY8)[:-1])[0].truncated


@pytest.mark.parametrize("length", [0, 1, 2, 7, 8, 20, 25])
@pytest.mark.parametrize("kind", ["grey PNG", "grey TIFF", "BigTIFF", "JPEG"])
def test_a_truncated_header_is_unreadable(kind: str, length: int) -> None:
    with pytest.raises(Unreadable):
        headers(SAMPLES[kind]().data[:length])


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
    assert [read_headers(io.BytesIO(data), len(data), page) for page in range(3)] == [
        [h] for h in headers(data)
    ]
    with pytest.raises(Unreadable):
        read_headers(io.BytesIO(data), len(data), 3)


def claim(data: bytes, marker: bytes, at: int, form: str) -> bytes:
    place = data.index(marker) + at
    size = struct.pack(form, HUGE, HUGE)
    return data[:place] + size + data[place + len(size) :]


def huge_tiff() -> bytes:
    buffer = io.BytesIO(tiff(GREY8))
    with tifffile.TiffFile(buffer, mode="r+b") as file:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[tag].overwrite(HUGE)
        file.pages[0].tags["StripByteCounts"].overwrite(HUGE * HUGE)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [png(GREY8, size=(HUGE, HUGE)), claim(encoded(".jpg", GREY8), b"\xff\xc0", 5, ">HH"), huge_tiff()],
    ids=["PNG", "JPEG", "TIFF"],
)
def test_a_header_that_claims_60000_x_60000_is_believed_and_nothing_is_unpacked(data: bytes) -> None:
    [header] = headers(data)
    assert (header.width, header.height) == (HUGE, HUGE)


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


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"GIF89a" + bytes(100),
        b"BM" + bytes(100),
        bytes(1000),
        b"II",
        b"MM\0*",
        b"\xff\xd8\xff\xd9",
    ],
)
def test_what_is_no_image_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        headers(data)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_without_pixels_is_unreadable(size: tuple[int, int]) -> None:
    with pytest.raises(Unreadable):
        headers(png(GREY8, size=size))


magics = st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"\xff\xd8\xff"])


@example(b"II*\0\x08\0\0\0\xff\xff")
@given(st.builds(bytes.__add__, magics, st.binary(max_size=200)))
def test_any_bytes_have_headers_or_are_unreadable(data: bytes) -> None:
    with suppress(Unreadable):
        assert all(h.width > 0 and h.height > 0 for h in headers(data))


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_a_damaged_file_has_headers_or_is_unreadable(kind: str, data: st.DataObject) -> None:
    whole = bytearray(SAMPLES[kind]().data)
    for _ in range(data.draw(st.integers(1, 4))):
        # most of what a header says lies near the begin of a file
        near = data.draw(st.booleans())
        whole[data.draw(st.integers(0, min(300 if near else 10**9, len(whole)) - 1))] = data.draw(
            st.integers(0, 255)
        )
    with suppress(Unreadable):
        headers(bytes(whole))
