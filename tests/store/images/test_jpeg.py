"""JPEG files: their frame header."""

import io
import struct
from contextlib import nullcontext

import cv2
import numpy as np
import pytest
import tifffile

from clio_argo.store.images import decode
from clio_argo.store.images.base import Page, Undecodable, Unreadable
from tests.store.images.samples import GREY8, HEIGHT, encoded, headers


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_without_pixels_is_unreadable(size: tuple[int, int]) -> None:
    data = encoded(".jpg", GREY8)
    place = data.index(b"\xff\xc0") + 5
    with pytest.raises(Unreadable):
        headers(data[:place] + struct.pack(">HH", *size) + data[place + 4 :])


@pytest.mark.parametrize(("comments", "read"), [(900, True), (1000, False)])
def test_comments_are_bounded(comments: int, read: bool) -> None:
    data = encoded(".jpg", GREY8)
    with nullcontext() if read else pytest.raises(Unreadable, match="no frame header"):
        headers(data[:2] + b"\xff\xfe\x00\x02" * comments + data[2:])


def test_fill_bytes_may_stand_before_a_marker() -> None:
    data = encoded(".jpg", GREY8)
    assert headers(data[:2] + b"\xff" * 9 + data[2:]) == headers(data)


@pytest.mark.parametrize("marker", [0x01, 0xD0, 0xD8, 0xD9, 0xDA])
def test_no_frame_is_taken_that_a_decoder_would_not_take(marker: int) -> None:
    # a decoder goes on right behind such a marker
    data = encoded(".jpg", GREY8)
    with pytest.raises(Unreadable, match="no frame header"):
        headers(data[:2] + bytes([0xFF, marker]) + data[2:])


def test_scans_that_would_take_minutes_are_refused() -> None:
    # each goes over all pixels, however short it is
    data = encoded(".jpg", GREY8, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = data[data.rindex(b"\xff\xda") : -2]
    endless = data[:-2] + last * 100 + data[-2:]
    for file in (endless, tiff_of_jpeg(endless)):
        with pytest.raises(Undecodable, match="a JPEG of more than 100 scans"):
            decode(io.BytesIO(file), Page())
    assert np.array_equal(decode(io.BytesIO(data), Page())[0], decode(io.BytesIO(tiff_of_jpeg(data)), Page())[0])


def tiff_of_jpeg(data: bytes) -> bytes:
    buffer = io.BytesIO()
    options = {"photometric": "minisblack", "metadata": None, "rowsperstrip": HEIGHT}
    tifffile.imwrite(buffer, iter([data]), shape=GREY8.shape, dtype="uint8", compression="jpeg", **options)
    return buffer.getvalue()
