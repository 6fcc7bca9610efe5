"""How a picture is turned to be looked at: the tag Orientation of TIFF and EXIF."""

import struct
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORIENTATION, SHORT = 274, 3  # TIFF 6.0, section 8 and section 2; EXIF has the same tags and types
# TIFF 6.0: step along rows and columns for orientations 1 to 4; 5 to 8 are these of the transposed picture
STEPS = ((1, 1), (1, -1), (-1, -1), (-1, 1))


def is_sideways(orientation: int) -> bool:
    """Whether width and height are those of the picture turned by 90 degrees."""
    return 5 <= orientation <= 8


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels [y, x] or [y, x, channel] as they are looked at. Values that mean nothing change nothing."""
    if not 2 <= orientation <= 8:
        return pixels
    down, right = STEPS[(orientation - 1) % 4]
    turned = pixels.swapaxes(0, 1) if is_sideways(orientation) else pixels
    return np.ascontiguousarray(turned[::down, ::right])


def exif_orientation(block: bytes) -> int:
    """The orientation that an EXIF block (a TIFF file without pixels) tells; 1 if it tells none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    with suppress(struct.error):
        (at,) = struct.unpack_from(order + "I", block, 4)
        (tags,) = struct.unpack_from(order + "H", block, at)
        for tag in range(tags):
            number, kind, count, value = struct.unpack_from(order + "HHIH", block, at + 2 + 12 * tag)
            if (number, kind, count) == (ORIENTATION, SHORT, 1):
                return int(value)
    return 1
