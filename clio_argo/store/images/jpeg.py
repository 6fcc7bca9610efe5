"""JPEG files: the frame header is read here, the pixels by OpenCV."""

import re
import struct
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

from numpy.typing import NDArray

from clio_argo.store.images.base import Format, Header, Page, Undecodable, has_end_mark, opencv_pixels, refuse_padded
from clio_argo.store.images.orientation import exif_orientation, is_sideways, upright

MAGIC = b"\xff\xd8"
# tables, profiles and comments of up to 64 kB each; what people's programs write has fewer than a hundred
MOST_SEGMENTS = 1000
# each takes as long as the whole picture, however short it is; programs write ten, and a preview has some of its own
SCAN, MOST_SCANS = re.compile(rb"\xff\xda\x00[\x08\x0a\x0c\x0e]"), 100
# markers of ITU T.81, table B.1: starts of frames are these but for tables (C4, CC) and an extension (C8)
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# have no length, or end what may stand before a frame: a decoder would go on elsewhere
LAST = frozenset(range(0xC0)) | frozenset(range(0xD0, 0xDB))


# what is no marker: a byte 0xff of pixels, which 0 follows, and marks for restarting
END, MARKER = b"\xff\xd9", re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]", re.DOTALL)
EXIF, EXIF_MARK = 0xE1, b"Exif\0\0"


class Frame(NamedTuple):
    """What stands before the pixels of a JPEG; width and height are those of the pixels as they are stored."""

    width: int
    height: int
    bits: int
    channels: int
    orientation: int


def frame(file: BinaryIO) -> Frame:
    """The first frame header of a JPEG at the file's position, and the orientation by its EXIF block.

    Raises `ValueError` or `struct.error` if it has no frame, or no pixels.
    """
    # Pillow keeps every comment, and walks through any number of them (docs/design.md)
    file.read(len(MAGIC))
    orientation = 1
    for _ in range(MOST_SEGMENTS):
        start, marker, length = struct.unpack(">BBH", file.read(4))
        if start != 0xFF or marker in LAST:
            break
        if marker in FRAMES:
            bits, height, width, channels = struct.unpack(">BHHB", file.read(6))
            if width and height:
                return Frame(width, height, bits, channels, orientation)
            break
        # a fill byte may stand before a marker
        behind = file.tell() + (-3 if marker == 0xFF else length - 2)
        if marker == EXIF and file.read(len(EXIF_MARK)) == EXIF_MARK:
            orientation = exif_orientation(file.read(length))
        file.seek(behind)
    raise ValueError("no frame header with pixels")


def headers(file: BinaryIO, size_bytes: int, _page: Page | None) -> list[Header]:
    """The header of the one page. Raises `ValueError` if it has no pixels."""
    width, height, bits, channels, orientation = frame(file)
    refuse_padded(width, height, size_bytes)
    complete = has_end_mark(file, size_bytes, END) or _reaches_end(file)
    if is_sideways(orientation):
        width, height = height, width
    return [Header(width=width, height=height, bits=bits, channels=channels, rgb=channels > 1, truncated=not complete)]


def _reaches_end(file: BinaryIO) -> bool:
    """Whether an end mark follows the pixels: programs append what they like behind it."""
    file.seek(0)
    data, at = file.read(), len(MAGIC)
    for _ in range(MOST_SEGMENTS):
        found = MARKER.search(data, at)
        if found is None or found[0].endswith(END) or found.end() + 2 > len(data):
            break
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    return found is not None and found[0].endswith(END)


def pixels(file: BinaryIO, _page: Page) -> NDArray[Any]:
    """Samples [y, x] or [y, x, channel], uint8."""
    orientation = frame(file).orientation
    file.seek(0)
    data = file.read()
    refuse_many_scans(data)
    return upright(opencv_pixels(BytesIO(data)), orientation)


def refuse_many_scans(data: bytes) -> None:
    """Raise `Undecodable` for a JPEG that takes minutes for few bytes."""
    if len(SCAN.findall(data)) > MOST_SCANS:
        raise Undecodable(f"a JPEG of more than {MOST_SCANS} scans")


JPEG = Format(name="JPEG", suffixes=(".jpg", ".jpeg"), magic=(MAGIC,), headers=headers, pixels=pixels)
