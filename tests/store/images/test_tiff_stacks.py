"""TIFF files of many slices: ImageJ's stacks behind one header."""

import struct
from pathlib import Path

import numpy as np
import pytest

from clio_argo.store.images.base import Unreadable
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
