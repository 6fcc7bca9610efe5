"""JPEG files: their frame header."""

import struct

import pytest

from clio_argo.store.images.base import Unreadable
from tests.store.images.samples import GREY8, encoded, headers


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_without_pixels_is_unreadable(size: tuple[int, int]) -> None:
    data = encoded(".jpg", GREY8)
    place = data.index(b"\xff\xc0") + 5
    with pytest.raises(Unreadable):
        headers(data[:place] + struct.pack(">HH", *size) + data[place + 4 :])
