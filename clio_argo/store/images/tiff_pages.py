"""Where the pages of a TIFF file and their pixels lie, read as libtiff reads what writers left wrong."""

import json
import logging
import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TIFF, TiffFile, TiffPage

from clio_argo.model.sizes import Size
from clio_argo.store.images.base import MOST_PAGES, Page, Unreadable
from clio_argo.store.images.orientation import ORIENTATION
from clio_argo.store.images.tiff_tags import TEXT

# its lines would appear among those of a command; what matters of them is looked at here
logging.getLogger("tifffile").addHandler(logging.NullHandler())
# eight tags, without which there is no image, take more bytes
PAGE_BYTES = 96
# Pages as close as this are counted by their places before the rest is read: a file of too many took 9 s.
CLOSE_PAGES, CLOSE_BYTES = 1000, 2**22
# numbers of the tags that decide what the pixels are
DECISIVE = {*range(256, 260), 262, 266, 273, 274, *range(277, 280), 284, 317, 320, *range(322, 326), 338, 339, 347}
# each half as wide as the one before: of any picture that can be aligned, as `max_pixels` says
MOST_LEVELS = 32
MINISWHITE = 0  # TIFF 6.0, section 8: high values are dark
PALETTE = 3  # values are indices of colours
# colour and opacity
MOST_CHANNELS = 4
# value of the tag PlanarConfiguration: each channel has strips of its own
PLANES = 2
# how many bytes a strip or tile of noise may have, with tables, for each byte of its pixels
MOST_TO_RAW, TABLE_BYTES = 2, 2**14


def walk(tiff: TiffFile, size_bytes: int) -> Iterator[TiffPage]:
    """All pages with a directory of their own. Raises `ValueError` if there is none, or too many."""
    pages = values = 0
    # by itself, tifffile follows a circle of pages for ever
    for one in islice(tiff.pages, MOST_PAGES + 1):
        page = one.aspage()
        pages, values = pages + 1, values + sum(t.count for t in page.tags if t.dtype not in TEXT)
        if pages > MOST_PAGES or PAGE_BYTES * pages + values > size_bytes or _are_too_many(tiff, page, pages):
            raise ValueError(f"more than {MOST_PAGES} pages, or more pages and tags than its bytes can hold")
        # Fibics ends its files with an empty directory; behind a preview one is missing
        if page.tags or pages != 2 or is_extra(tiff.pages.first):
            yield mended(page, size_bytes)
    if not pages:
        raise ValueError("no page")
    if _goes_on(tiff) and (pages > 1 or _holds_more(tiff.pages.first, size_bytes)):
        raise Unreadable(f"its list of pages leads nowhere behind page {pages}: it is cut off or damaged")


def _are_too_many(tiff: TiffFile, page: TiffPage, pages: int) -> bool:
    """Whether a file whose pages lie close has more of them than may be."""
    if pages != CLOSE_PAGES or abs(page.offset - tiff.pages.first.offset) > CLOSE_BYTES:
        return False
    with suppress(IndexError):
        tiff.pages.get(MOST_PAGES)
        return True
    return False


def _goes_on(tiff: TiffFile) -> bool:
    """Whether the last page that was found tells of another one: other readers end there without a word."""
    tiff.filehandle.seek(tiff.pages.next_page_offset or 0)
    return any(tiff.filehandle.read(tiff.tiff.offsetsize))


def _holds_more(page: TiffPage, size_bytes: int) -> bool:
    """Whether what may be another picture follows the pixels of the first one: else its next page is a slip."""
    ends = (o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False))
    return 2 * (size_bytes - max(ends, default=size_bytes)) > sum(page.databytecounts)


def pictures(tiff: TiffFile, size_bytes: int) -> Iterator[TiffPage]:
    """The pages that are no thumbnails, previews or masks, each at its full size."""
    for page in walk(tiff, size_bytes):
        # a thumbnail may stand before its picture, which is among its SubIFDs then
        both = (page, *(mended(p.aspage(), size_bytes) for p in islice(page.pages or (), MOST_LEVELS)))
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


def mended(page: TiffPage, size_bytes: int) -> TiffPage:
    """The page with the strips that libtiff takes it to have where its tags are wrong.

    Raises:
        Unreadable: a tag that decides what its pixels are is damaged.
        ValueError: a tag of one value has several: multiplied, these would fill memory.
    """
    _refuse_lost_tags(page)
    if not all(
        isinstance(v, int) for v in (page.imagewidth, page.imagelength, page.samplesperpixel, page.rowsperstrip)
    ):
        raise ValueError("width, length, samples or rows of a strip: several values instead of one")
    planes = page.samplesperpixel if page.planarconfig == PLANES else 1
    if not page.rowsperstrip and not page.is_tiled and len(page.dataoffsets) == planes:
        page.rowsperstrip = page.imagelength
    # each of these has sizes of its own
    if page.is_tiled or not page.rowsperstrip or page.is_subsampled or not isinstance(page.bitspersample, int):
        return page
    samples = 1 if page.planarconfig == PLANES else page.samplesperpixel
    rows = min(page.rowsperstrip, page.imagelength)
    raw = (page.imagewidth * samples * page.bitspersample + 7) // 8 * rows
    # of too many, as many as its decoder may want, which stops where its data end
    most = raw if page.compression == 1 else MOST_TO_RAW * raw + TABLE_BYTES
    if len(page.dataoffsets) == 1 and page.dataoffsets[0]:
        told = raw if page.compression == 1 else page.databytecounts[0] or max(0, size_bytes - page.dataoffsets[0])
        page.databytecounts = (min(told, most),)
    elif max(page.databytecounts, default=0) > most:
        page.databytecounts = tuple(min(count, most) for count in page.databytecounts)
    return page


def _refuse_lost_tags(page: TiffPage) -> None:
    """Raise `Unreadable` if tifffile left out a tag of damaged type or place: its default would make other pixels."""
    tiff, file = page.parent.tiff, page.parent.filehandle
    file.seek(page.offset)
    (count,) = struct.unpack(tiff.tagnoformat, file.read(tiff.tagnosize))
    if count == len(page.tags):
        return
    entries = file.read(count * tiff.tagsize)
    found = {struct.unpack_from(tiff.tagheaderformat, entries, k * tiff.tagsize)[0] for k in range(count)}
    for tag in found & DECISIVE - {t.code for t in page.tags}:
        raise Unreadable(f"its tag {TIFF.TAGS[tag]} is damaged; save it anew")


def page_at(tiff: TiffFile, page: Page) -> TiffPage:
    """One page, without those before it if its place is known."""
    if not page.offset:
        return mended(tiff.pages[page.number].aspage(), tiff.filehandle.size)
    tiff.filehandle.seek(page.offset)
    is_first = page.offset == tiff.pages.first.offset
    read = mended(tiff.pages.first if is_first else TiffPage(tiff, page.number), tiff.filehandle.size)
    # behind one header
    if page.number and not tiff.pages.is_multipage:
        skip = page.number * plane_bytes(read)
        read.dataoffsets = tuple(o + skip for o in read.dataoffsets)
    return read


def plane_bytes(page: TiffPage) -> int:
    """Bytes of the uncompressed pixels of a page."""
    return math.prod(page.shaped) * page.bitspersample // 8


def planes(tiff: TiffFile, size_bytes: int) -> int:
    """How many images lie behind the only directory of a file: ImageJ writes stacks above 4 GB so, tifffile on request.

    Raises `Unreadable` if the file holds another number of them than it says.
    """
    page = tiff.pages.first
    said = _planes_told(tiff, page)
    if said == 1 or not page.is_contiguous or not plane_bytes(page):
        return 1
    # what lies behind the pixels: the directory, or values of its tags
    start, others = page.dataoffsets[0], (page.offset, *(t.valueoffset for t in page.tags))
    held = (min((o for o in others if o > start), default=size_bytes) - start) // plane_bytes(page)
    if held > MOST_PAGES:
        raise ValueError(f"more than {MOST_PAGES} pages")
    # "images" is often left from the stack of which this is one slice
    if held not in (0, 1, said):
        raise Unreadable(f"says images={said}, but holds {held} behind one header; save it anew")
    return max(1, held)


def _planes_told(tiff: TiffFile, page: TiffPage) -> int:
    if tiff.is_imagej:
        return int((tiff.imagej_metadata or {}).get("images", 1))
    said = json.loads(page.shaped_description or "{}") if tiff.is_shaped else {}
    return math.prod(said["shape"]) // math.prod(page.shape) if said.get("truncated") else 1


def palette(page: TiffPage) -> NDArray[Any]:
    """Grey values [index] or colours [index, channel] of a page's palette; empty for a page without one."""
    if page.photometric != PALETTE:
        return np.empty(0, np.uint8)
    if page.colormap is None:
        raise Unreadable("its values are indices of a palette that it does not have")
    colours = page.colormap.T
    if page.bitspersample <= 8:
        # of 16 bits by the standard; old programs wrote 8
        colours = (colours >> 8 if colours.max() > 255 else colours).astype(np.uint8)
    is_grey = all(np.array_equal(colours[:, 0], colours[:, c]) for c in (1, 2))
    return np.ascontiguousarray(colours[:, 0] if is_grey else colours)


def orientation(page: TiffPage) -> int:
    """The tag Orientation; 1 without one."""
    value = page.tags.valueof(ORIENTATION)
    return value if isinstance(value, int) else 1
