"""What the header of an image file says, read without its pixels."""

import io
import struct
from typing import BinaryIO

from PIL.JpegImagePlugin import JpegImageFile

from clio_argo.errors import ClioError, short_of_memory
from clio_argo.model.base import Value

PNG, JPEG, TIFF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", (b"II", b"MM")
SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
TAIL_BYTES = 64


class Unreadable(Exception):
    """Not an image this package reads; the message says why."""


class Header(Value):
    """Size of one page, bits per sample, samples per pixel, and whether the file ends too early."""

    width: int
    height: int
    bits: int
    channels: int
    truncated: bool = False


def read_headers(file: BinaryIO, size_bytes: int, page: int | None = None) -> list[Header]:
    """Headers of all pages of an image file, or of one; one for PNG and JPEG.

    Raises:
        Unreadable: not a PNG, TIFF or JPEG file, or a broken header.
    """
    start = file.read(len(PNG))
    try:
        if start == PNG:
            return [_png(file, size_bytes)]
        if start[:2] in TIFF:
            # takes a fifth of a second to import
            from clio_argo.store import tiff

            return tiff.headers(file, size_bytes, page)
        if start[:2] == JPEG:
            return [_jpeg(file, size_bytes)]
    except (Unreadable, ClioError):
        raise
    # parsers of foreign bytes fail in many ways; all mean the same
    except Exception as error:
        if short_of_memory(error):
            raise
        raise Unreadable(f"broken header: {type(error).__name__}: {str(error)[:200]}") from error
    raise Unreadable("not a PNG, TIFF or JPEG file")


def _png(file: BinaryIO, size_bytes: int) -> Header:
    length, kind, width, height, bits, colour = struct.unpack(">I4sIIBB", file.read(18))
    if kind != b"IHDR" or length != 13 or not width or not height:
        raise ValueError("no IHDR chunk")
    ended = b"IEND" in _tail(file, size_bytes)
    return Header(
        width=width,
        height=height,
        bits=max(8, bits),
        channels=PNG_CHANNELS[colour],
        truncated=not ended,
    )


def _jpeg(file: BinaryIO, size_bytes: int) -> Header:
    ended = b"\xff\xd9" in _tail(file, size_bytes)
    file.seek(0)
    with JpegImageFile(file) as image:
        width, height = image.size
        if not width or not height:
            raise ValueError("no pixels")
        return Header(width=width, height=height, bits=image.bits, channels=image.layers, truncated=not ended)


def _tail(file: BinaryIO, size_bytes: int) -> bytes:
    file.seek(max(0, size_bytes - TAIL_BYTES), io.SEEK_SET)
    return file.read(TAIL_BYTES)
