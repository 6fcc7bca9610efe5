"""JPEG files: their frame header."""

import struct
from contextlib import nullcontext

import pytest

from clio_argo.store.images.base import Unreadable
from tests.store.images.samples import GREY8, encoded, headers


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
