"""JPEG files: the header is read by Pillow, the pixels by OpenCV."""

from typing import BinaryIO

from clio_argo.store.images.base import Format, Header, has_end_mark, opencv_pixels


def headers(file: BinaryIO, size_bytes: int, _page: int | None) -> list[Header]:
    """The header of the one page. Raises `ValueError` if it has no pixels."""
    # the class, not PIL.Image.open, which refuses images of more than 179 million pixels
    from PIL.JpegImagePlugin import JpegImageFile

    with JpegImageFile(file) as image:
        width, height = image.size
        if not width or not height:
            raise ValueError("no pixels")
        complete = has_end_mark(file, size_bytes, b"\xff\xd9")
        return [Header(width=width, height=height, bits=image.bits, channels=image.layers, truncated=not complete)]


JPEG = Format(name="JPEG", suffixes=(".jpg", ".jpeg"), magic=(b"\xff\xd8",), headers=headers, pixels=opencv_pixels)
