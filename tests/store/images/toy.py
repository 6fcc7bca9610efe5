"""All that a new image format is: binary PGM of 8 bits, with a header of one line, "P5 WIDTH HEIGHT 255"."""

from typing import BinaryIO

import numpy as np

from clio_argo.store.images.base import Format, Header, Page


def encode(image: np.ndarray) -> bytes:
    return b"P5 %d %d 255\n" % image.shape[::-1] + image.tobytes()


def headers(file: BinaryIO, size_bytes: int, page: Page | None) -> list[Header]:
    _, width, height, _ = map(int, b"0".join(file.readline(100).split(b"P5")).split())
    truncated = file.tell() + width * height > size_bytes
    return [Header(width=width, height=height, bits=8, channels=1, truncated=truncated)]


def pixels(file: BinaryIO, page: Page) -> np.ndarray:
    _, width, height, _ = file.readline().split()
    return np.frombuffer(file.read(), np.uint8).reshape(int(height), int(width))


PGM = Format(name="PGM", suffixes=(".pgm",), magic=(b"P5",), headers=headers, pixels=pixels)
