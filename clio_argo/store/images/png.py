"""PNG files: the header chunk is read here, the pixels by OpenCV."""

import struct
from typing import BinaryIO

from clio_argo.store.images.base import Format, Header, Page, has_end_mark, opencv_pixels, refuse_padded

MAGIC = b"\x89PNG\r\n\x1a\n"
# channels that OpenCV decodes each colour type of the PNG specification to; 3 is a palette of RGB colours
CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}


def headers(file: BinaryIO, size_bytes: int, _page: Page | None) -> list[Header]:
    """The header of the one page. Raises `ValueError` if there is none."""
    # Pillow would report 16-bit RGB as 8 bit, and refuses large slices (docs/design.md)
    _, length, kind, width, height, bits, colour = struct.unpack(">8sI4sIIBB", file.read(26))
    if kind != b"IHDR" or length != 13 or not width or not height:
        raise ValueError("no IHDR chunk")
    refuse_padded(width, height, size_bytes)
    complete = has_end_mark(file, size_bytes, b"IEND")
    # OpenCV unpacks 1, 2 and 4 bits to 8
    depth = max(8, bits)
    return [Header(width=width, height=height, bits=depth, channels=CHANNELS[colour], truncated=not complete)]


PNG = Format(name="PNG", suffixes=(".png",), magic=(MAGIC,), headers=headers, pixels=opencv_pixels)
