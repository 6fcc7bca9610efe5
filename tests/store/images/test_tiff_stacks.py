"""TIFF files of many pages: ImageJ's stacks behind one header, previews."""

import io
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from clio_argo.store.images import decode, read_headers
from clio_argo.store.images.base import Page, Unreadable
from clio_argo.store.slices import Source
from tests.store.images.samples import headers, planned, slices, texture, tiff

BITS = ("uint8", "uint16")


def one_header(images: int, shape: tuple[int, int], bits: int, begin: bool = True, said: int | None = None) -> bytes:
    """The header of what Fiji saves above 4 GB: one directory, before the planes or behind them."""
    height, width = shape
    plane = height * width * bits // 8
    text = b"ImageJ=1.53t\nimages=%d\nslices=%d\n\0" % (said or images, said or images)
    values = ((254, 0), (256, width), (257, height), (258, bits), (262, 1), (270, 0), (273, 0), (277, 1), (278, height))
    size = 2 + 12 * (len(values) + 1) + 4
    directory = 8 if begin else 8 + images * plane
    place = {270: directory + size, 273: 8 + size + len(text) if begin else 8}
    tags = [(t, 2 if t == 270 else 4, len(text) if t == 270 else 1, place.get(t, v)) for t, v in values]
    entries = [struct.pack(">HHII", *tag) for tag in [*tags, (279, 4, 1, plane)]]
    # tags of 16 bits as values of 32, which TIFF allows for all but BitsPerSample
    entries[3] = struct.pack(">HHIHH", 258, 3, 1, bits, 0)
    body = struct.pack(">H", len(entries)) + b"".join(entries) + bytes(4) + text
    return b"MM\0*" + struct.pack(">I", directory) + body


def stack_file(file: Path, stack: np.ndarray, begin: bool, said: int | None = None) -> Source:
    head = one_header(len(stack), stack.shape[1:], stack.itemsize * 8, begin, said)
    body = stack.astype(stack.dtype.newbyteorder(">")).tobytes()
    file.write_bytes(head + body if begin else head[:8] + body + head[8:])
    return Source(str(file))


@pytest.mark.parametrize("begin", [True, False])
@pytest.mark.parametrize("dtype", BITS)
def test_an_imagej_stack_behind_one_header_is_read(tmp_path: Path, dtype: str, begin: bool) -> None:
    stack = np.stack([texture(dtype, 30, 40, seed) for seed in range(5)])
    assert np.array_equal([*slices(stack_file(tmp_path / "stack.tif", stack, begin))], stack)


def test_the_last_slice_of_an_imagej_stack_above_4_gb_is_read(tmp_path: Path) -> None:
    # 4.3 GB, sparse
    images, shape = 2100, (1000, 1024)
    last, head = texture("uint16", *shape), one_header(2100, shape, 16)
    with (tmp_path / "stack.tif").open("wb") as file:
        file.write(head)
        file.seek(len(head) + (images - 1) * last.nbytes)
        file.write(last.astype(">u2").tobytes())
    source = Source(str(tmp_path / "stack.tif"))
    [entry] = source.entries()
    assert entry.size_bytes > 2**32
    found = source.headers(entry)
    place = planned(entry, images - 1, "uint16", *shape).model_copy(update={"offset": found[-1].offset})
    assert np.array_equal(source.decode(place), last)
    assert not source.decode(place.model_copy(update={"page": images - 2})).any()


@pytest.mark.parametrize("said", [3, 4, 6, 500])
def test_an_imagej_stack_of_another_length_than_its_header_says_is_refused(tmp_path: Path, said: int) -> None:
    source = stack_file(tmp_path / "stack.tif", np.stack([texture(height=30, width=40)] * 5), True, said)
    [entry] = source.entries()
    with pytest.raises(Unreadable, match=f"says images={said}, but holds 5"):
        source.headers(entry)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_one_slice_that_kept_the_description_of_its_stack_is_one_slice(compression: str | None) -> None:
    text = "ImageJ=1.53t\nimages=60\nslices=60\n"
    for pixels in (texture(), np.stack([texture()] * 3)):
        data = tiff(pixels, description=text, compression=compression)
        # with an overlay or a thumbnail behind its pixels
        assert len(headers(data + bytes(0 if pixels.ndim == 3 else 1900))) == (1 if pixels.ndim == 2 else 3)


def previewed(*pages: tuple[np.ndarray, dict[str, Any]]) -> bytes:
    """A TIFF of pages, each with its options."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for pixels, options in pages:
            writer.write(pixels, **{"photometric": "minisblack", "metadata": None, "contiguous": False} | options)
    return buffer.getvalue()


FULL, SMALL = texture(height=80, width=100), texture(height=20, width=25)
THUMBNAIL, REDUCED, MASK = np.dstack([SMALL] * 3), {"subfiletype": 1}, {"subfiletype": 4}
PREVIEWS: dict[str, list[tuple[np.ndarray, dict[str, Any]]]] = {
    "a thumbnail behind it": [(FULL, {}), (SMALL, REDUCED)],
    "a thumbnail before it": [(SMALL, REDUCED), (FULL, {})],
    "a coloured thumbnail that nothing marks": [(FULL, {}), (THUMBNAIL, {"photometric": "rgb"})],
    "a thumbnail that is compressed otherwise": [(FULL, {}), (SMALL, {"compression": "png"})],
    "a thumbnail as old programs mark it": [(FULL, {}), (FULL[::-1], {"extratags": [(255, 3, 1, 2, True)]})],
    "levels that nothing marks": [(FULL, {}), (FULL[::2, ::2], {}), (FULL[::4, ::4], {}), (FULL[::8, ::8], {})],
    "levels in SubIFDs": [(FULL, {"subifds": 2}), (FULL[::2, ::2], REDUCED), (FULL[::4, ::4], REDUCED)],
    "itself in a SubIFD of its thumbnail": [(SMALL, {"subifds": 1, **REDUCED}), (FULL, {})],
    "itself in a SubIFD of a thumbnail that nothing marks": [(SMALL, {"subifds": 1}), (FULL, {})],
    "a mask": [(FULL, {}), (FULL > 99, MASK)],
}


@pytest.mark.parametrize("kind", PREVIEWS)
def test_a_picture_is_read_at_its_full_size_beside(tmp_path: Path, kind: str) -> None:
    (tmp_path / "1.tif").write_bytes(previewed(*PREVIEWS[kind]))
    [found] = slices(Source(str(tmp_path)))
    assert np.array_equal(found, FULL)


def test_each_slice_of_a_stack_is_read_beside_its_thumbnail(tmp_path: Path) -> None:
    (tmp_path / "1.tif").write_bytes(previewed(*[(FULL, {}), (SMALL, REDUCED), (FULL[::-1], {}), (SMALL, REDUCED)]))
    assert np.array_equal([*slices(Source(str(tmp_path)))], [FULL, FULL[::-1]])


def test_pages_of_two_sizes_are_no_previews_of_each_other() -> None:
    for stack in ([FULL, FULL, SMALL, SMALL], [FULL, FULL[:30]], [FULL, FULL[:, :30], SMALL]):
        assert len(headers(previewed(*[(p, {}) for p in stack]))) == len(stack)


def test_a_stack_whose_pages_all_call_themselves_reduced_is_read() -> None:
    assert len(headers(previewed((FULL, REDUCED), (FULL[::-1], REDUCED)))) == 2


def test_a_page_may_name_itself_a_million_times() -> None:
    # as its SubIFDs: no more than there can be levels are looked at
    data = previewed((FULL, {"extratags": [(330, 4, 10**6, [8] * 10**6, True)]}))
    started = time.process_time()
    assert len(headers(data)) == 1
    assert time.process_time() - started < 2


class Counting(io.BytesIO):
    """A file that counts what is read of it."""

    bytes_read = reads = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.bytes_read, self.reads = self.bytes_read + len(data), self.reads + 1
        return data

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        self.bytes_read, self.reads = self.bytes_read + count, self.reads + 1
        return count


def cost(file: Counting, page: Page) -> tuple[int, int]:
    """Reads and bytes that one page costs."""
    file.bytes_read = file.reads = 0
    assert read_headers(file, len(file.getvalue()), page)[0].width == 8
    decode(file, page)
    return file.reads, file.bytes_read


@pytest.mark.parametrize("kind", ["pages", "one header"])
def test_the_last_slice_costs_as_much_as_the_second_and_the_plan_one_walk(kind: str) -> None:
    count, plane = 400, texture(height=40, width=8)
    head = one_header(count, plane.shape, 8)
    data = previewed(*[(plane, {})] * count) if kind == "pages" else head + plane.tobytes() * count
    file = Counting(data)
    found = read_headers(file, len(data))
    # each directory once, and none of the pixels
    assert file.reads < 10 * count
    assert file.bytes_read < (400 * count if kind == "pages" else 4000)
    places = [Page(number=n, offset=found[n].offset) for n in (1, count - 1)]
    assert cost(file, places[0]) == cost(file, places[1])
    assert file.bytes_read < 4000


def test_more_planes_behind_one_header_than_a_stack_may_have_are_refused() -> None:
    with pytest.raises(Unreadable, match="more than 100000 pages"):
        headers(one_header(100_001, (1, 1), 8) + bytes(100_001))
