"""The source: what it lists, and the pixels of real files of every kind."""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.errors import UserError
from clio_argo.model.plan import SliceFile
from clio_argo.store.documents import Store
from clio_argo.store.headers import Unreadable, read_headers
from clio_argo.store.slices import Entry, RangeFile, Source, Undecodable, find_source, is_image
from tests.store.images import GREY8, GREY16, HEIGHT, REFUSED, SAMPLES, WIDTH, encoded, png, texture, tiff

ODD_NAMES = [
    "with space 1.png",
    "überraschung 図 2.png",
    "-rf 3.png",
    "new\nline4.png",
    "100%5.png",
    "a%20b6.png",
    "hash#7.png",
    "question?8.png",
    "quote'\"9.png",
    "..10.png",
    "$(id)11.png",
    "{{12}}.png",
]


def planned(
    entry: Entry, page: int = 0, dtype: str = "uint8", height: int = HEIGHT, width: int = WIDTH
) -> SliceFile:
    return SliceFile(
        z=0,
        name=entry.name,
        page=page,
        width=width,
        height=height,
        dtype=dtype,
        size_bytes=entry.size_bytes,
        stamp="",
    )


def one(folder: Path, name: str, data: bytes) -> tuple[Source, Entry]:
    (folder / name).write_bytes(data)
    source = Source(str(folder))
    return source, next(e for e in source.entries() if e.name == name)


def decoded(folder: Path, name: str, data: bytes, dtype: str = "uint8") -> np.ndarray:
    source, entry = one(folder, name, data)
    return source.decode(planned(entry, dtype=dtype))


# --- pixels


@pytest.mark.parametrize("kind", SAMPLES)
def test_slices_of_every_kind_decode_to_their_grey_values(tmp_path: Path, kind: str) -> None:
    sample = SAMPLES[kind]()
    pixels = decoded(tmp_path, f"slice{sample.suffix}", sample.data, str(sample.pixels.dtype))
    assert pixels.dtype == sample.pixels.dtype
    assert pixels.dtype.isnative
    difference = np.abs(pixels.astype(int) - sample.pixels.astype(int)).max()
    assert difference <= sample.tolerance


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_grey_is_refused_with_a_reason(tmp_path: Path, kind: str) -> None:
    suffix, make = REFUSED[kind]
    with pytest.raises(Undecodable, match="grey"):
        decoded(tmp_path, f"slice{suffix}", make())


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_file_truncated_since_it_was_planned_does_not_decode(tmp_path: Path, kind: str) -> None:
    sample = SAMPLES[kind]()
    with pytest.raises(Undecodable):
        decoded(
            tmp_path,
            f"slice{sample.suffix}",
            sample.data[: len(sample.data) * 2 // 3],
            str(sample.pixels.dtype),
        )


@pytest.mark.parametrize("lost", [1, 100, 412])
def test_tiles_that_are_cut_off_are_not_taken_for_black(tmp_path: Path, lost: int) -> None:
    with pytest.raises(Undecodable, match="before its last pixels"):
        decoded(tmp_path, "slice.tif", SAMPLES["tiled TIFF"]().data[:-lost])


@given(st.data())
def test_any_flipped_bit_of_a_png_is_found_by_decoding(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["grey PNG", "16-bit PNG", "1-bit PNG", "interlaced PNG"]))
    sample = SAMPLES[kind]()
    flipped = bytearray(sample.data)
    flipped[data.draw(st.integers(0, len(flipped) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    pixels = decode_or_none(bytes(flipped), sample.suffix, str(sample.pixels.dtype))
    assert pixels is None or np.array_equal(pixels, sample.pixels)


@given(st.integers(0, 7), st.integers(0, 10**6))
def test_a_flipped_bit_in_the_data_of_a_deflated_tiff_is_found_by_decoding(bit: int, place: int) -> None:
    whole = tiff(GREY8, compression="deflate")
    start = whole.index(b"\x78")
    flipped = bytearray(whole)
    flipped[start + place % (len(whole) - start)] ^= 1 << bit
    pixels = decode_or_none(bytes(flipped), ".tif", "uint8")
    assert pixels is None or np.array_equal(pixels, GREY8)


def decode_or_none(data: bytes, suffix: str, dtype: str) -> np.ndarray | None:
    """What a slice decodes to; None if it is refused. Any other exception is a fault of ours."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return decoded(Path(folder), f"slice{suffix}", data, dtype)
        except Undecodable:
            return None


@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_a_damaged_file_decodes_to_the_planned_shape_or_is_refused(kind: str, data: st.DataObject) -> None:
    sample = SAMPLES[kind]()
    damaged = bytearray(sample.data)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged)))
        damaged[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    pixels = decode_or_none(bytes(damaged), sample.suffix, str(sample.pixels.dtype))
    assert pixels is None or (pixels.shape, pixels.dtype) == (sample.pixels.shape, sample.pixels.dtype)


@given(st.binary(max_size=100))
def test_random_bytes_are_refused(data: bytes) -> None:
    assert decode_or_none(data, ".png", "uint8") is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(".png", texture(height=HEIGHT + 1)), "is 52 x 38 now, 52 x 37 was planned"),
        (encoded(".png", GREY16), "decodes to uint16"),
        (b"", "not a PNG, TIFF or JPEG"),
        (tiff(np.stack([GREY8] * 2)), None),
    ],
)
def test_a_file_that_is_not_what_was_planned_is_refused(
    tmp_path: Path, data: bytes, reason: str | None
) -> None:
    source, entry = one(tmp_path, "slice.png", data)
    with pytest.raises(Undecodable, match=reason):
        source.decode(planned(entry, page=0 if reason else 2))


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    source, entry = one(tmp_path, "slice.png", encoded(".png", GREY8))
    (tmp_path / "slice.png").unlink()
    with pytest.raises(Undecodable, match="gone"):
        source.decode(planned(entry))
    with pytest.raises(Unreadable, match="does not exist"):
        source.headers(entry)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pixels_beyond_what_the_decoder_allows_are_refused_unpacked(tmp_path: Path, suffix: str) -> None:
    data = png(GREY8, size=(60_000, 60_000))
    if suffix == ".jpg":
        data = encoded(".jpg", GREY8)
        place = data.index(b"\xff\xc0") + 5
        data = data[:place] + (60_000).to_bytes(2, "big") * 2 + data[place + 4 :]
    source, entry = one(tmp_path, f"slice{suffix}", data)
    with pytest.raises(Undecodable):
        source.decode(planned(entry, height=60_000, width=60_000))


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


# --- names and links


@pytest.mark.parametrize("name", ODD_NAMES)
def test_files_with_odd_names_are_listed_read_and_decoded(tmp_path: Path, name: str) -> None:
    source, entry = one(tmp_path, name, encoded(".png", GREY8))
    assert [e.name for e in source.entries()] == [name]
    assert not entry.outside
    assert len(source.headers(entry)) == 1
    assert np.array_equal(source.decode(planned(entry)), GREY8)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_source_may_lie_in_a_folder_with_an_odd_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / ".." / name / "raw"
    folder.resolve().mkdir(parents=True)
    (folder / "1.png").write_bytes(encoded(".png", GREY8))
    source = Source(find_source(str(tmp_path / name / ".." / name)))
    [entry] = source.entries("raw/")
    assert entry.name == "raw/1.png"
    assert np.array_equal(source.decode(planned(entry)), GREY8)


@pytest.mark.parametrize("name", [b"latin-\xfc.png", b"back\\slash.png"])
def test_a_name_that_no_store_can_hold_is_a_problem_of_that_file_only(tmp_path: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(encoded(".png", GREY8))
    source, good = one(tmp_path, "good.png", encoded(".png", GREY8))
    bad = next(e for e in source.entries() if e.name != "good.png")
    with pytest.raises(Unreadable, match="rename it"):
        source.headers(bad)
    assert len(source.headers(good)) == 1


def test_entries_are_ordered_and_have_sizes_and_stamps_that_change_with_the_file(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "c.txt"):
        (tmp_path / name).write_bytes(name.encode() * 3)
    (tmp_path / "folder.png").mkdir()
    source = Source(str(tmp_path))
    before = source.entries()
    assert [(e.name, e.size_bytes) for e in before] == [("a.png", 15), ("b.png", 15), ("c.txt", 15)]
    assert source.entries() == before
    os.utime(tmp_path / "a.png", (1, 1))
    (tmp_path / "new").write_bytes(b"b.png" * 3)
    (tmp_path / "new").replace(tmp_path / "b.png")
    after = source.entries()
    assert [a.stamp != b.stamp for a, b in zip(after, before, strict=True)] == [True, True, False]


def test_links_that_leave_the_source_are_flagged(tmp_path: Path) -> None:
    inside, outside = tmp_path / "slices", tmp_path / "slices-of-others"
    inside.mkdir()
    outside.mkdir()
    for folder in (inside, outside):
        (folder / "real.png").write_bytes(encoded(".png", GREY8))
    (inside / "absolute.png").symlink_to(outside / "real.png")
    (inside / "relative.png").symlink_to(Path("..", outside.name, "real.png"))
    (inside / "chained.png").symlink_to("absolute.png")
    (inside / "within.png").symlink_to("real.png")
    (inside / "nowhere.png").symlink_to("gone.png")
    (inside / "circle.png").symlink_to("circle.png")
    flagged = {e.name: e.outside for e in Source(str(inside)).entries()}
    assert [n for n, o in flagged.items() if not o] == ["real.png", "within.png"]
    assert len(flagged) == 7


def test_a_linked_folder_that_leaves_the_source_is_flagged(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.png").write_bytes(b"x")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "raw").symlink_to(tmp_path / "elsewhere")
    assert [e.outside for e in Source(str(tmp_path / "source")).entries("raw/")] == [True]


def test_a_source_that_is_a_link_itself_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    source, entry = one(tmp_path / "link", "1.png", encoded(".png", GREY8))
    assert not entry.outside
    assert np.array_equal(source.decode(planned(entry)), GREY8)


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert Source(str(tmp_path)).entries("raw/") == []


def test_a_source_without_a_scheme_is_a_path_if_it_exists_and_a_bucket_if_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slices").mkdir()
    assert find_source("slices") == str(tmp_path / "slices")
    assert find_source("my_bucket") == "gs://my_bucket"
    assert find_source("gs://a/b") == "gs://a/b"
    with pytest.raises(UserError, match="no such file or folder"):
        find_source("./my_bucket")


@pytest.mark.parametrize(
    ("name", "image"),
    [("a.PNG", True), ("a.tiff", True), ("a.jpeg", True), ("a.txt", False), ("png", False)],
)
def test_images_are_known_by_their_suffix(name: str, image: bool) -> None:
    assert is_image(name) == image


# --- ranged reads


@given(
    st.binary(max_size=200), st.lists(st.tuples(st.sampled_from("rst"), st.integers(-250, 250)), max_size=8)
)
def test_a_ranged_file_reads_like_the_whole_one(content: bytes, steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x").write_bytes(content)
        entry = Entry(name="x", size_bytes=len(content), stamp="")
        ranged, whole = RangeFile(Store(folder), entry), io.BytesIO(content)
        for step, amount in steps:
            if step == "r":
                assert ranged.read(amount if amount >= 0 else -1) == whole.read(amount if amount >= 0 else -1)
            else:
                origin = io.SEEK_SET if step == "s" else io.SEEK_END
                at = max(0, amount) if step == "s" else amount
                assert ranged.seek(at, origin) == whole.seek(at, origin)
        assert ranged.tell() == whole.tell()


@pytest.mark.parametrize("kind", ["grey PNG", "TIFF with its directory at the end", "tiled TIFF", "JPEG"])
def test_headers_read_by_ranges_are_those_of_the_whole_file(tmp_path: Path, kind: str) -> None:
    data = SAMPLES[kind]().data
    _, entry = one(tmp_path, "x.png", data)
    ranged = io.BufferedReader(RangeFile(Store(str(tmp_path)), entry), 64)
    assert read_headers(ranged, len(data)) == read_headers(io.BytesIO(data), len(data))
