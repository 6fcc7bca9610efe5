"""PNG files: the header chunk is read here, the pixels by OpenCV."""

import struct
from typing import Any, BinaryIO

from numpy.typing import NDArray

from clio_argo.store.images.base import Format, Header, Page, has_end_mark, opencv_pixels, refuse_padded
from clio_argo.store.images.orientation import exif_orientation, is_sideways, upright

MAGIC = b"\x89PNG\r\n\x1a\n"
# channels that OpenCV decodes each colour type of the PNG specification to; 3 is a palette of RGB colours
CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
# where the second chunk begins; as many before the pixels as no program writes; JPEG allows EXIF so many bytes
END_OF_HEADER, MOST_CHUNKS, MOST_EXIF_BYTES = 33, 1000, 2**16


def headers(file: BinaryIO, size_bytes: int, _page: Page | None) -> list[Header]:
    """The header of the one page. Raises `ValueError` if there is none."""
    # Pillow would report 16-bit RGB as 8 bit, and refuses large slices (docs/design.md)
    _, length, kind, width, height, bits, colour = struct.unpack(">8sI4sIIBB", file.read(26))
    if kind != b"IHDR" or length != 13 or not width or not height:
        raise ValueError("no IHDR chunk")
    refuse_padded(width, height, size_bytes)
    if is_sideways(_orientation(file)):
        width, height = height, width
    complete = has_end_mark(file, size_bytes, b"IEND")
    # OpenCV unpacks 1, 2 and 4 bits to 8
    depth = max(8, bits)
    return [Header(width=width, height=height, bits=depth, channels=CHANNELS[colour], truncated=not complete)]


def _orientation(file: BinaryIO) -> int:
    """The orientation by an EXIF block before the pixels."""
    file.seek(END_OF_HEADER)
    for _ in range(MOST_CHUNKS):
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"eXIf":
            return exif_orientation(file.read(min(length, MOST_EXIF_BYTES)))
        if kind in (b"IDAT", b"IEND"):
            break
        # its checksum follows
        file.seek(length + 4, 1)
    return 1


def pixels(file: BinaryIO, _page: Page) -> NDArray[Any]:
    """Samples [y, x] or [y, x, channel], uint8 or uint16."""
    orientation = _orientation(file)
    file.seek(0)
    return upright(opencv_pixels(file), orientation)


PNG = Format(name="PNG", suffixes=(".png",), magic=(MAGIC,), headers=headers, pixels=pixels)
