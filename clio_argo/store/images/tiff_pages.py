"""Where the pages of a TIFF file and their pixels lie, read as libtiff reads what writers left wrong."""

import math
from collections.abc import Iterator, Sequence
from itertools import islice

from tifffile import TiffFile, TiffPage

from clio_argo.model.sizes import Size
from clio_argo.store.images.base import Page, Unreadable

# of a stack, as many as a run may have slices; eight tags, without which there is no image, take more bytes
MOST_PAGES, PAGE_BYTES = 100_000, 96
# each half as wide as the one before: of any picture that can be aligned, as `max_pixels` says
MOST_LEVELS = 32


def walk(tiff: TiffFile, size_bytes: int) -> Iterator[TiffPage]:
    """All pages with a directory of their own. Raises `ValueError` if there is none, or too many."""
    pages = strips = 0
    # by itself, tifffile follows a circle of pages for ever
    for one in islice(tiff.pages, MOST_PAGES + 1):
        pages, strips = pages + 1, strips + len(one.dataoffsets)
        if pages > MOST_PAGES or PAGE_BYTES * pages + strips > size_bytes:
            raise ValueError(f"more than {MOST_PAGES} pages, or more pages and strips than its bytes can hold")
        yield one.aspage()
    if not pages:
        raise ValueError("no page")


def pictures(tiff: TiffFile, size_bytes: int) -> Iterator[TiffPage]:
    """The pages that are no thumbnails, previews or masks, each at its full size."""
    for page in walk(tiff, size_bytes):
        # a thumbnail may stand before its picture, which is among its SubIFDs then
        both = (page, *(p.aspage() for p in islice(page.pages or (), MOST_LEVELS)))
        full = max(both, key=lambda p: (not is_extra(p), p.imagewidth * p.imagelength))
        if not is_extra(full):
            yield full


def is_extra(page: TiffPage) -> bool:
    """Whether a page says that it is a smaller version of another one, or a mask."""
    return page.is_reduced or page.is_mask


def beside(sizes: Sequence[Size]) -> set[int]:
    """Indices of the pages of a file, by their (width, height), that are previews of its one picture.

    Some programs do not mark them. Pages of a stack may differ in size, too, but not by half from all but one.
    """
    width, height = max(sizes, key=math.prod)
    small = {i for i, (w, h) in enumerate(sizes) if 2 * w <= width + 1 and 2 * h <= height + 1}
    return small if len(small) == len(sizes) - 1 else set()


def page_at(tiff: TiffFile, page: Page) -> TiffPage:
    """One page, without those before it if its place is known."""
    if not page.offset:
        return tiff.pages[page.number].aspage()
    tiff.filehandle.seek(page.offset)
    read = TiffPage(tiff, page.number)
    if page.offset == tiff.pages.first.offset and page.number:
        skip = page.number * plane_bytes(read)
        read.dataoffsets = tuple(o + skip for o in read.dataoffsets)
    return read


def plane_bytes(page: TiffPage) -> int:
    """Bytes of the uncompressed pixels of a page."""
    return math.prod(page.shaped) * page.bitspersample // 8


def planes(tiff: TiffFile, size_bytes: int) -> int:
    """How many images lie behind the only directory of a file: ImageJ writes stacks above 4 GB so.

    Raises `Unreadable` if the file holds another number of them than it says.
    """
    page = tiff.pages.first
    said = (tiff.imagej_metadata or {}).get("images", 1) if tiff.is_imagej else 1
    if said == 1 or not page.is_contiguous or not plane_bytes(page):
        return 1
    # what lies behind the pixels: the directory, or values of its tags
    start, others = page.dataoffsets[0], (page.offset, *(t.valueoffset for t in page.tags))
    held = (min((o for o in others if o > start), default=size_bytes) - start) // plane_bytes(page)
    # "images" is often left from the stack of which this is one slice
    if held not in (0, 1, said):
        raise Unreadable(f"ImageJ file that says images={said}, but holds {held}; save it anew")
    return max(1, held)
