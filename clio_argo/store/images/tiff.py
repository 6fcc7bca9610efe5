"""TIFF files of one page or many, read by tifffile, which is imported when one is read: that takes 0.2 s."""

from typing import Any, BinaryIO

from numpy.typing import NDArray

from clio_argo.store.images.base import Format, Header, Page


def headers(file: BinaryIO, size_bytes: int, page: Page | None) -> list[Header]:
    """Headers of all pictures of a file, or of one page only. Raises as `tiff_headers.headers`."""
    from clio_argo.store.images.tiff_headers import headers

    return headers(file, size_bytes, page)


def pixels(file: BinaryIO, page: Page) -> NDArray[Any]:
    """Samples of one page, [y, x] or [y, x, channel], in the file's data type; small is dark."""
    from clio_argo.store.images.tiff_pixels import pixels

    return pixels(file, page)


TIFF = Format(name="TIFF", suffixes=(".tif", ".tiff"), magic=(b"II", b"MM"), headers=headers, pixels=pixels)
