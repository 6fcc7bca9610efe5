"""TIFF files: pages, directories, strips and tiles."""

import io
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import zstd
from PIL import Image

from clio_argo.store.images import read_headers
from clio_argo.store.images.base import Header, Page, Undecodable, Unreadable
from clio_argo.store.images.tiff_tags import MOST_NUMBERS
from clio_argo.store.slices import Source
from tests.store.images.samples import (
    GREY8,
    GREY16,
    HEIGHT,
    ORIENTED,
    REFUSED,
    SAMPLES,
    WIDTH,
    decode_or_none,
    decoded,
    headers,
    pillow,
    planned,
    texture,
    tiff,
)


def test_a_tiff_that_lacks_one_byte_is_truncated() -> None:
    assert headers(tiff(GREY8)[:-1])[0].truncated


@pytest.mark.parametrize("compression", ["jpeg2000", "png", "jpegxl", "lzma", "jpegxr"])
def test_a_compression_that_may_hold_anything_is_refused(compression: str) -> None:
    with pytest.raises(Unreadable, match=r"compressed as .*; save it with one of: JPEG, LZW, PackBits, deflate"):
        headers(tiff(GREY8, compression=compression))


def changed(data: bytes, **tags: object) -> bytes:
    """A TIFF with other values in tags of its first page."""
    buffer = io.BytesIO(data)
    with tifffile.TiffFile(buffer, mode="r+b") as file:
        for name, value in tags.items():
            file.pages[0].tags[name].overwrite(value)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (changed(tiff(GREY8, tile=(64, 64)), TileWidth=60_000, TileLength=60_000), "tiles, 60000 x 60000"),
        (changed(tiff(GREY8), SamplesPerPixel=60_000), "60000 channels"),
        (
            changed(tiff(GREY8, tile=(64, 64), compression="zstd"), TileByteCounts=100_000),
            "tile holds more bytes than its",
        ),
    ],
    ids=["tiles", "channels", "bytes"],
)
def test_a_page_that_would_take_more_memory_than_its_pixels_is_refused_by_its_header(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        headers(data + bytes(100_000))


# what others write, and libtiff reads: (tag, its values as a function of the right ones), with bytes behind or without
WRONG_TAGS = {
    "no bytes": ("StripByteCounts", lambda counts: [0]),
    "more bytes than the file has": ("StripByteCounts", lambda counts: [10**6]),
    "half of the bytes": ("StripByteCounts", lambda counts: [counts[0] // 2]),
    "no rows in a strip": ("RowsPerStrip", lambda rows: 0),
}


@pytest.mark.parametrize("kind", WRONG_TAGS)
@pytest.mark.parametrize("pixels", [GREY8, GREY16], ids=["8 bit", "16 bit"])
def test_one_strip_is_read_whatever_its_tags_say(tmp_path: Path, kind: str, pixels: np.ndarray) -> None:
    tag, change = WRONG_TAGS[kind]
    data = tiff(pixels)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        value = change(file.pages[0].tags[tag].value)
    found = decoded(tmp_path, "1.tif", changed(data, **{tag: value}), str(pixels.dtype))
    assert np.array_equal(found, pixels)


@pytest.mark.parametrize("compression", ["lzw", "deflate", "jpeg"])
def test_one_compressed_strip_without_a_length_is_read(tmp_path: Path, compression: str) -> None:
    data = tiff(GREY8, compression=compression)
    for tag, value in (("StripByteCounts", 0), ("StripByteCounts", 60_000), ("RowsPerStrip", 0)):
        # behind it, so that the strip can be taken too long
        wrong = changed(data, **{tag: value}) + bytes(2 * 10**6)
        assert np.array_equal(decoded(tmp_path, "1.tif", wrong), decoded(tmp_path, "2.tif", data))


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "jpeg"])
def test_strips_that_say_too_many_bytes_are_read(tmp_path: Path, compression: str | None) -> None:
    data = tiff(GREY8, compression=compression, rowsperstrip=16)
    wrong = changed(data, StripByteCounts=[60_000] * 3) + bytes(10**6)
    assert np.array_equal(decoded(tmp_path, "1.tif", wrong), decoded(tmp_path, "2.tif", data))


@pytest.mark.parametrize("rows", [8, 37])
def test_a_picture_within_a_tiff_that_is_smaller_than_its_strip_is_refused(tmp_path: Path, rows: int) -> None:
    # its decoder leaves zeros, which would pass for black tissue
    whole = tiff(GREY8, compression="jpeg", rowsperstrip=rows)
    place = whole.rindex(b"\xff\xc0") + 5
    height, width = struct.unpack(">HH", whole[place : place + 4])
    for size in ((height - 1, width), (height, width - 8)):
        with pytest.raises(Undecodable, match=r"a JPEG of \d+ x \d+ in a strip or tile of"):
            decoded(tmp_path, "1.tif", whole[:place] + struct.pack(">HH", *size) + whole[place + 4 :])


@pytest.mark.parametrize("lost", [2, 100])
def test_a_jpeg_within_a_tiff_that_is_cut_is_refused(tmp_path: Path, lost: int) -> None:
    data = tiff(GREY8, compression="jpeg")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        [count] = file.pages[0].databytecounts
    with pytest.raises(Undecodable, match="a JPEG without an end mark"):
        decoded(tmp_path, "1.tif", changed(data, StripByteCounts=[count - lost]))


@pytest.mark.parametrize("kind", ["JPEG TIFF of strips", "tiled JPEG TIFF"])
@pytest.mark.parametrize("size", [(60_000, 60_000), (65, 20), (20, 65)])
def test_a_jpeg_larger_than_its_tile_is_not_unpacked(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    data = SAMPLES[kind]().data
    place = data.rindex(b"\xff\xc0") + 5
    with pytest.raises(Undecodable, match=f"a JPEG of {size[1]} x {size[0]} in a strip or tile of"):
        decoded(tmp_path, "slice.tif", data[:place] + struct.pack(">HH", *size) + data[place + 4 :])


def test_pages_in_a_circle_end() -> None:
    data = pages(*[GREY8[:8, :8]] * 150)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first, last = file.pages[0].offset, file.pages[-1].offset
        tags = len(file.pages[-1].aspage().tags)
    following = last + 2 + 12 * tags
    with pytest.raises(Unreadable, match="more pages and tags than its bytes"):
        headers(data[:following] + struct.pack("<I", first) + data[following + 4 :])


def pages(*pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in pixels:
            writer.write(page, photometric="minisblack", metadata=None, contiguous=False)
    return buffer.getvalue()


def test_every_page_of_a_tiff_has_its_header() -> None:
    stack = np.stack([GREY8] * 5)
    assert headers(tiff(stack)) == [Header(width=WIDTH, height=HEIGHT, bits=8, channels=1)] * 5


def test_only_the_last_page_of_a_truncated_stack_is_truncated() -> None:
    data = pages(*[GREY8] * 5)
    assert [h.truncated for h in headers(data[:-10])] == [False] * 4 + [True]


def test_the_header_of_one_page_is_that_of_all() -> None:
    data = pages(GREY8, GREY8[:10], GREY8[:, :20])
    whole = read_headers(io.BytesIO(data), len(data))
    for places in ([Page(number=k) for k in range(3)], [Page(number=k, offset=h.offset) for k, h in enumerate(whole)]):
        assert [read_headers(io.BytesIO(data), len(data), place) for place in places] == [[h] for h in whole]
    with pytest.raises(Unreadable):
        read_headers(io.BytesIO(data), len(data), Page(number=3))


@pytest.mark.parametrize("kind", ["64-bit TIFF", "complex TIFF", "bilevel TIFF"])
def test_values_that_are_no_unsigned_grey_have_no_depth(kind: str) -> None:
    assert headers(REFUSED[kind][1]())[0].bits == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (changed(tiff(GREY8), PhotometricInterpretation=32803), "coded as CFA; convert it to plain grey"),
        (changed(tiff(GREY8), PhotometricInterpretation=5), "coded as SEPARATED; convert it to plain grey"),
        (changed(tiff(GREY8), PhotometricInterpretation=8), "coded as CIELAB; convert it to plain grey"),
        (changed(tiff(GREY8), PhotometricInterpretation=3), "a palette that it does not have"),
        (changed(tiff(GREY8, rowsperstrip=8), RowsPerStrip=0), "rowsperstrip=0"),
    ],
    ids=["CFA", "CMYK", "CIELab", "palette", "several strips of no rows"],
)
def test_other_codings_are_refused_by_what_they_are(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        headers(data)


@pytest.mark.parametrize("compression", ["zstd", "packbits"])
@pytest.mark.parametrize("count", [20, 60_000])
def test_wrong_lengths_of_what_does_not_tell_its_end_are_refused(tmp_path: Path, compression: str, count: int) -> None:
    wrong = changed(tiff(GREY8, compression=compression), StripByteCounts=count) + bytes(10**5)
    with pytest.raises(Undecodable, match="does not decode"):
        decoded(tmp_path, "1.tif", wrong)


def test_a_tiff_with_holes_is_refused() -> None:
    buffer = io.BytesIO(tiff(GREY8, rowsperstrip=8))
    with tifffile.TiffFile(buffer, mode="r+b") as file:
        counts = file.pages[0].tags["StripByteCounts"]
        counts.overwrite([0, *counts.value[1:]])
    with pytest.raises(Unreadable, match="hold no data"):
        headers(buffer.getvalue())


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("photometric", [0, 1])
def test_values_of_few_bits_are_spread_as_others_spread_them(tmp_path: Path, bits: int, photometric: int) -> None:
    data = changed(tiff(GREY8), BitsPerSample=bits, PhotometricInterpretation=photometric)
    with Image.open(io.BytesIO(data)) as other:
        assert np.array_equal(decoded(tmp_path, "1.tif", data), np.asarray(other))


def test_a_predictor_that_not_all_readers_apply_is_refused() -> None:
    data = changed(tiff(GREY8, compression="deflate", predictor=True), Compression=1)
    with pytest.raises(Unreadable, match="a predictor without compression"):
        headers(data)


@pytest.mark.parametrize("lost", [1, 100, 412])
def test_tiles_that_are_cut_off_are_not_taken_for_black(tmp_path: Path, lost: int) -> None:
    with pytest.raises(Undecodable, match="its last pixels are not among"):
        decoded(tmp_path, "slice.tif", SAMPLES["tiled TIFF"]().data[:-lost])


@given(st.integers(0, 7), st.integers(0, 10**6))
def test_a_flipped_bit_in_the_data_of_a_deflated_tiff_is_found_by_decoding(bit: int, place: int) -> None:
    whole = tiff(GREY8, compression="deflate")
    start = whole.index(b"\x78")
    flipped = bytearray(whole)
    flipped[start + place % (len(whole) - start)] ^= 1 << bit
    pixels = decode_or_none(bytes(flipped), ".tif", "uint8")
    assert pixels is None or np.array_equal(pixels, GREY8)


@pytest.mark.parametrize("size", [40, 900])
def test_every_page_of_a_stack_decodes_to_its_own_pixels(tmp_path: Path, size: int) -> None:
    # the larger stack is read piece by piece
    stack = np.stack([texture(height=size, width=size, seed=s) for s in range(4)])
    (tmp_path / "stack.tif").write_bytes(tiff(stack, compression="zlib" if size == 40 else None))
    source = Source(str(tmp_path / "stack.tif"))
    [entry] = source.entries()
    assert len(source.headers(entry)) == 4
    for page in (3, 0, 2, 1):
        assert np.array_equal(source.decode(planned(entry, page, height=size, width=size)), stack[page])


def test_a_page_of_a_large_stack_decodes_though_a_later_one_is_lost(tmp_path: Path) -> None:
    stack = np.stack([texture(height=900, width=900, seed=s) for s in range(4)])
    whole = tiff(stack, contiguous=False)
    (tmp_path / "stack.tif").write_bytes(whole)
    source = Source(str(tmp_path))
    [entry] = source.entries()
    (tmp_path / "stack.tif").write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    assert np.array_equal(source.decode(planned(entry, 0, height=900, width=900)), stack[0])


# tifffile itself stumbles over two of these
@pytest.mark.parametrize(("tag", "reason"), [(256, "several values instead of one"), (257, "tuple"), (277, "tuple")])
def test_a_tag_of_many_values_instead_of_one_is_refused(tag: int, reason: str) -> None:
    data = tiff(GREY8)
    at = data.index(struct.pack("<H", tag), 8)
    with pytest.raises(Unreadable, match=reason):
        headers(data[: at + 2] + struct.pack("<HII", 3, 500, 8) + data[at + 12 :])


def with_type(data: bytes, tag: int, kind: int) -> bytes:
    """A TIFF, one tag of which has a type that does not exist or is too long for the file."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages[0].tags[tag].offset + 2
    return data[:at] + struct.pack("<H", kind) + data[at + 2 :]


@pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 274, 277, 278, 317])
def test_a_damaged_tag_is_not_taken_for_its_default(tag: int) -> None:
    data = tiff(GREY8, compression="lzw", predictor=True, extratags=[ORIENTED]) + bytes(3000)
    with pytest.raises(Unreadable, match=f"its tag {tifffile.TIFF.TAGS[tag]} is damaged; save it anew"):
        headers(with_type(data, tag, 99))


def test_a_damaged_tag_that_tells_nothing_of_pixels_is_left_out() -> None:
    data = tiff(GREY8, software="a microscope")
    assert headers(with_type(data, 305, 99)) == headers(data)


def test_nothing_is_written_beside_the_messages_of_a_command(tmp_path: Path) -> None:
    (tmp_path / "1.tif").write_bytes(with_type(tiff(GREY8, software="a microscope"), 305, 99))
    look = f"s = Source({str(tmp_path)!r}); print(len(s.headers(s.entries()[0])))"
    text = f"from clio_argo.store.slices import Source; {look}"
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("1\n", "")


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_no_page_is_lost_where_a_file_is_cut(compression: str | None) -> None:
    first, *others = (Image.fromarray(GREY8 + k) for k in range(4))
    data = pillow(first, "tiff", save_all=True, append_images=others, compression=compression)
    assert len(headers(data)) == 4
    for end in range(len(data) // 3, len(data), 97):
        try:
            found = headers(data[:end])
        except Unreadable:
            continue
        # one picture with whatever behind it may be a file as some programs write it
        assert len(found) in (1, 4)


def with_empty_directory(data: bytes) -> bytes:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages.next_page_offset
    assert at
    return data[:at] + struct.pack("<I", len(data)) + data[at + 4 :] + bytes(6)


def test_an_empty_directory_behind_a_picture_is_no_page() -> None:
    # as Fibics writes it; but a preview is not taken for the picture that is lost
    assert headers(with_empty_directory(tiff(GREY8))) == headers(tiff(GREY8))
    with pytest.raises(Unreadable, match="no pixels"):
        headers(with_empty_directory(tiff(GREY8, subfiletype=1)))


def tiny_pages(pages: int, values: int = 1) -> bytes:
    """Pages of one pixel, with ExtraSamples of as many values, which all pages share."""
    tags = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1)]
    tags += [(278, 3, 1, 1), (279, 4, 1, 1), (338, 3, values, 8)]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags)
    begin, size = 8 + 2 * values, len(body) + 4
    following = (*(begin + (k + 1) * size for k in range(pages - 1)), 0)
    return (
        b"II*\0"
        + struct.pack("<I", begin)
        + bytes(2 * values)
        + b"".join(body + struct.pack("<I", n) for n in following)
    )


@pytest.mark.parametrize(("pages", "values"), [(100_001, 1), (300, 100_000)])
def test_pages_or_tags_beyond_number_are_refused_in_time(pages: int, values: int) -> None:
    data, began = tiny_pages(pages, values), time.process_time()
    with pytest.raises(Unreadable, match="more than 100000 pages, or more pages and tags than its bytes can hold"):
        headers(data)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("tag", [258, 273, 279])
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"bigtiff": True}])
def test_a_tag_of_a_million_numbers_is_refused_before_it_is_read(tag: int, options: dict[str, object]) -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out, **options) as writer:
        for seed in (1, 2):
            writer.write(texture(seed=seed), contiguous=False, metadata=None)
    data, room = out.getvalue(), 2**21 * 8
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        count_at = file.pages[1].tags[tag].offset + 4
        kind = f"{file.byteorder}{'Q' if options.get('bigtiff') else 'I'}"
    lying = data[:count_at] + struct.pack(kind, MOST_NUMBERS + 1) + data[count_at + struct.calcsize(kind) :]
    with pytest.raises(Unreadable, match=f"its tag {tag} says that it holds {MOST_NUMBERS + 1} numbers"):
        headers(lying + bytes(room))


@pytest.mark.parametrize(("offset", "reason"), [(10**9, "not among its"), (0, "hold no data")])
def test_strips_outside_of_the_file_are_refused(tmp_path: Path, offset: int, reason: str) -> None:
    data = tiff(GREY8, rowsperstrip=8)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        offsets = file.pages[0].dataoffsets
    with pytest.raises((Undecodable, Unreadable), match=reason):
        decoded(tmp_path, "1.tif", changed(data, StripOffsets=[offset, *offsets[1:]]))


def test_strips_that_overlap_are_read_as_others_read_them(tmp_path: Path) -> None:
    data = tiff(GREY8, rowsperstrip=8)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        offsets = file.pages[0].dataoffsets
    shared = changed(data, StripOffsets=[offsets[0], offsets[0] + 40, *offsets[2:]])
    with Image.open(io.BytesIO(shared)) as other:
        assert np.array_equal(decoded(tmp_path, "1.tif", shared), np.asarray(other))


def zstd_tiff(pixels: np.ndarray) -> bytes:
    """A TIFF whose strip of zstd ends with a checksum, which tifffile does not write."""
    buffer, strip = io.BytesIO(), zstd.compress(pixels.tobytes(), 3, True)
    options = {"photometric": "minisblack", "metadata": None, "rowsperstrip": len(pixels), "compression": "zstd"}
    tifffile.imwrite(buffer, iter([strip]), shape=pixels.shape, dtype=pixels.dtype, **options)
    return buffer.getvalue()


@given(st.integers(0, 7), st.integers(0, 10**6))
def test_a_flipped_bit_in_zstd_with_a_checksum_is_found_by_decoding(bit: int, place: int) -> None:
    flipped = bytearray(zstd_tiff(GREY8))
    start = flipped.index(b"\x28\xb5\x2f\xfd")
    flipped[start + place % (len(flipped) - start)] ^= 1 << bit
    pixels = decode_or_none(bytes(flipped), ".tif", "uint8")
    assert pixels is None or np.array_equal(pixels, GREY8)
