"""Plain grey PNG files, which other decoders than OpenCV read: the same pixels, and the same refusals."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from itertools import pairwise
from random import Random

import numpy as np
import psutil
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clio_argo.store.images import decode_all, png_grey
from clio_argo.store.images import png as png_format
from clio_argo.store.images.base import Page, Undecodable, Unreadable
from tests.store.images.samples import GREY8, GREY16, SAMPLES, encoded, png, png_chunk, texture
from tests.store.images.spoiled import seeds, spoiled

SEEDS = {kind: data for kind, data in seeds().items() if data.startswith(png_format.MAGIC)}
GREY, FILTERS = 0, 5


@pytest.fixture(scope="module", autouse=True)
def any_size() -> Iterator[None]:
    """Files are small here, and small ones are left to OpenCV."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(png_grey, "COMPILED_PX", 1)
        yield


def outcome(data: bytes) -> tuple[str, list[int], bytes]:
    """What becomes of a file: words of its refusal or type, size and bytes of its samples."""
    try:
        pixels, said = decode_all(io.BytesIO(data), Page())
    except (Undecodable, Unreadable) as error:
        return str(error), [], b""
    return f"{pixels.dtype} {said}", list(pixels.shape), pixels.tobytes()


def by_opencv(data: bytes) -> tuple[str, list[int], bytes]:
    """As `outcome`, where OpenCV decodes all kinds of PNG."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(png_format, "grey_samples", lambda chunks: None)
        return outcome(data)


def filtered(pixels: np.ndarray, filters: list[int]) -> bytes:
    """The rows of a grey PNG, whose filters are those of a list, again and again: PNG, 9.2."""
    size = pixels.itemsize
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(len(pixels), -1).astype(int)
    up = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    left, corner = (np.pad(a, ((0, 0), (size, 0)))[:, :-size] for a in (rows, up))
    guess = left + up - corner
    by, order = np.stack([left, up, corner]), np.abs(guess - np.stack([left, up, corner])).argmin(0)
    nearest = np.take_along_axis(by, order[None], 0)[0]
    made = [(rows - taken) % 256 for taken in (0 * rows, left, up, (left + up) // 2, nearest)]
    kinds = [filters[y % len(filters)] for y in range(len(rows))]
    return b"".join(bytes([kind]) + made[kind][y].astype(np.uint8).tobytes() for y, kind in enumerate(kinds))


def grey_png(shape: tuple[int, ...], bits: int, packed: bytes, cuts: list[int], beside: bytes = b"") -> bytes:
    """A grey PNG of a zlib stream that is cut into chunks at these bytes."""
    header = struct.pack(">IIBBBBB", shape[1], shape[0], bits, GREY, 0, 0, 0)
    ends = [0, *sorted(c % (len(packed) + 1) for c in cuts), len(packed)]
    pieces = (png_chunk(b"IDAT", packed[a:b]) for a, b in pairwise(ends))
    return png_format.MAGIC + png_chunk(b"IHDR", header) + beside + b"".join(pieces) + png_chunk(b"IEND", b"")


BESIDE = {
    b"gAMA": struct.pack(">I", 45455), b"sBIT": b"\7", b"bKGD": b"\0\5", b"tRNS": b"\0\7", b"tIME": bytes(7),
    b"PLTE": bytes(6),
}  # fmt: skip


@given(
    seed=st.integers(0, 99),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    kind=st.sampled_from([np.uint8, np.uint16]),
    filters=st.lists(st.integers(0, FILTERS - 1), min_size=1, max_size=6),
    level=st.integers(0, 9),
    cuts=st.lists(st.integers(0, 5000), max_size=5),
    beside=st.sets(st.sampled_from(sorted(BESIDE))),
    behind=st.binary(max_size=3),
)
@example(1, (300, 300), np.uint8, [3], 0, [1, 1], set(), b"")
def test_pixels_are_those_of_opencv(
    seed: int, size: tuple[int, int], kind: type, filters: list[int], level: int, cuts: list[int],
    beside: set[bytes], behind: bytes,
) -> None:  # fmt: skip
    pixels = np.random.default_rng(seed).integers(0, np.iinfo(kind).max, size, kind, endpoint=True)
    packed = zlib.compress(filtered(pixels, filters), level) + behind
    data = grey_png(size, pixels.itemsize * 8, packed, cuts, b"".join(png_chunk(k, BESIDE[k]) for k in sorted(beside)))
    assert (found := outcome(data)) == by_opencv(data)
    if not beside & {b"tRNS", b"PLTE"}:
        assert found == (f"{pixels.dtype} ", [*size, 1], pixels.tobytes())


@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_all_kinds_of_png_are_read_as_by_opencv(kind: str) -> None:
    assert outcome(SEEDS[kind]) == by_opencv(SEEDS[kind])


@pytest.mark.properties
@given(rng=st.randoms(use_true_random=False), kind=st.sampled_from(sorted(SEEDS)), other=st.sampled_from(sorted(SEEDS)))
@settings(max_examples=settings().max_examples * 5)
def test_what_is_damaged_is_refused_as_by_opencv(rng: Random, kind: str, other: str) -> None:
    data = spoiled(rng, SEEDS[kind], SEEDS[other])
    assert outcome(data) == by_opencv(data)


ROWS = filtered(GREY8, [3, 4])
FAULTS = {
    "a row too few": zlib.compress(ROWS[: -GREY8.shape[1] - 1]),
    "a row too many": zlib.compress(ROWS + ROWS[:53]),
    "another Adler-32": zlib.compress(ROWS)[:-1] + b"!",
    "no Adler-32": zlib.compress(ROWS)[:-4],
    "no pixels": b"",
    "no such filter": zlib.compress(b"\5" + ROWS[1:]),
    "a dictionary": b"\x78\xbb" + zlib.compress(ROWS)[2:],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_compressed_rows_are_left_to_opencv(fault: str) -> None:
    data = grey_png(GREY8.shape, 8, FAULTS[fault], [])
    assert outcome(data) == by_opencv(data)
    if fault != "a row too many":
        assert "its data are damaged" in outcome(data)[0]


def chunks_of(data: bytes) -> list[memoryview]:
    return png_format._decisive(io.BytesIO(data), 1)


@pytest.mark.parametrize("filters", [[0], [1], [2], [3], [4], [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("pixels", [GREY8, GREY16], ids=["8 bit", "16 bit"])
def test_no_other_decoder_is_asked_for_plain_pixels(pixels: np.ndarray, filters: list[int]) -> None:
    chunks = chunks_of(grey_png(pixels.shape, pixels.itemsize * 8, zlib.compress(filtered(pixels, filters)), [99]))
    found = png_grey.grey_samples(chunks)
    assert np.array_equal(found, pixels)
    assert found.dtype == pixels.dtype
    assert found.flags.writeable
    assert chunks == []


@pytest.mark.parametrize("kind", ["1-bit PNG", "4-bit PNG", "interlaced PNG", "palette PNG", "grey as RGB PNG"])
def test_what_is_not_plain_is_left_to_opencv(kind: str) -> None:
    chunks = chunks_of(SAMPLES[kind]().data)
    assert png_grey.grey_samples(chunks) is None
    assert chunks


@pytest.mark.parametrize(("filters", "read"), [([0], True), ([1], False), ([4], False), ([0, 0, 3], False)])
def test_small_files_with_filters_are_left_to_opencv(
    filters: list[int], read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(png_grey, "COMPILED_PX", GREY8.size + 1)
    data = grey_png(GREY8.shape, 8, zlib.compress(filtered(GREY8, filters)), [])
    chunks = chunks_of(data)
    found = png_grey.grey_samples(chunks)
    assert (found is not None) == read == (not chunks)
    assert outcome(data)[2] == GREY8.tobytes()


@pytest.mark.parametrize("size", [(2**16, 2**15), (1_000_001, 1), (2**31, 2**31)])
def test_there_is_no_room_for_more_pixels_than_opencv_takes(size: tuple[int, int]) -> None:
    data = png(GREY8, size=size)
    tracemalloc.start()
    found, (_, peak) = outcome(data), tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "does not decode" in found[0]
    assert peak < 2**22


@pytest.mark.properties
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_slice_needs_less_than_three_planes_and_no_thread(kind: type) -> None:
    # as many bytes in the file as in the picture
    pixels = np.random.default_rng(1).integers(0, np.iinfo(kind).max, (1500, 1500), kind)
    data = grey_png(pixels.shape, pixels.itemsize * 8, zlib.compress(filtered(pixels, [3]), 1), [])
    outcome(encoded(".png", texture(kind)))
    threads = psutil.Process().num_threads()
    tracemalloc.start()
    decode_all(io.BytesIO(data), Page())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * pixels.nbytes
    assert psutil.Process().num_threads() == threads
