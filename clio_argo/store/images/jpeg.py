"""JPEG files: the frame header is read here, the pixels by OpenCV."""

import struct
from typing import BinaryIO

from clio_argo.store.images.base import Format, Header, Page, has_end_mark, opencv_pixels, refuse_padded

MAGIC = b"\xff\xd8"
# tables, profiles and comments of up to 64 kB each; what people's programs write has fewer than a hundred
MOST_SEGMENTS = 1000
# markers of ITU T.81, table B.1: starts of frames are these but for tables (C4, CC) and an extension (C8)
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# have no length, or end what may stand before a frame: a decoder would go on elsewhere
LAST = frozenset(range(0xC0)) | frozenset(range(0xD0, 0xDB))


def frame(file: BinaryIO) -> tuple[int, int, int, int]:
    """Width, height, bits per sample and channels, by the first frame header of a JPEG at the file's position.

    Raises `ValueError` or `struct.error` if it has none, or no pixels.
    """
    # Pillow keeps every comment, and walks through any number of them (docs/design.md)
    file.read(len(MAGIC))
    for _ in range(MOST_SEGMENTS):
        start, marker, length = struct.unpack(">BBH", file.read(4))
        if start != 0xFF or marker in LAST:
            break
        if marker in FRAMES:
            bits, height, width, channels = struct.unpack(">BHHB", file.read(6))
            if width and height:
                return width, height, bits, channels
            break
        # a fill byte may stand before a marker
        file.seek(-3 if marker == 0xFF else length - 2, 1)
    raise ValueError("no frame header with pixels")


def headers(file: BinaryIO, size_bytes: int, _page: Page | None) -> list[Header]:
    """The header of the one page. Raises `ValueError` if it has no pixels."""
    width, height, bits, channels = frame(file)
    refuse_padded(width, height, size_bytes)
    complete = has_end_mark(file, size_bytes, b"\xff\xd9")
    return [Header(width=width, height=height, bits=bits, channels=channels, truncated=not complete)]


JPEG = Format(name="JPEG", suffixes=(".jpg", ".jpeg"), magic=(MAGIC,), headers=headers, pixels=opencv_pixels)
