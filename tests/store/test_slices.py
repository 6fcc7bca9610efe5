"""The source: what it lists, which changes of its files it refuses, and reading by ranges."""

import io
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.errors import StoreError, TransientError, UserError
from clio_argo.store.documents import Store
from clio_argo.store.images import read_headers
from clio_argo.store.images.base import Undecodable, Unreadable
from clio_argo.store.slices import Entry, RangeFile, Source, _own_lack_of_memory
from clio_argo.store.source_url import find_source, source_url
from tests.store.images.samples import GREY8, GREY16, HEIGHT, SAMPLES, encoded, one, planned, texture, tiff
from tests.stores import Bucket

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
    "a..10.png",
    "$(id)11.png",
    "{{12}}.png",
]


# --- files that changed


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(".png", texture(height=HEIGHT + 1)), "is 52 x 38 now, 52 x 37 was planned"),
        (encoded(".png", GREY16), "decodes to uint16"),
        (b"", "not a PNG, TIFF"),
        (tiff(np.stack([GREY8] * 2)), None),
    ],
)
def test_a_file_that_is_not_what_was_planned_is_refused(tmp_path: Path, data: bytes, reason: str | None) -> None:
    source, entry = one(tmp_path, "slice.png", data)
    with pytest.raises(Undecodable, match=reason):
        source.decode(planned(entry, page=0 if reason else 2))


@pytest.mark.parametrize(
    ("wanted", "plane_bytes"),
    [(Unreadable, 0), (Undecodable, 2**20), (MemoryError, 2**57)],
    ids=["header", "pixels", "process"],
)
def test_memory_that_one_file_alone_asks_for_is_its_own_fault(wanted: type[Exception], plane_bytes: int) -> None:
    own = wanted if wanted is not MemoryError else Undecodable
    reason = r"iso\.7\.tif: " if wanted is MemoryError else "more memory than its pixels"
    with pytest.raises(wanted, match=reason), _own_lack_of_memory("iso.7.tif", plane_bytes, own):
        np.empty(2**62, np.uint8)


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    source, entry = one(tmp_path, "slice.png", encoded(".png", GREY8))
    (tmp_path / "slice.png").unlink()
    with pytest.raises(Undecodable, match="gone"):
        source.decode(planned(entry))
    with pytest.raises(Unreadable, match="does not exist"):
        source.headers(entry)


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
    for name in ("b.png", "a.png", "c.png.part", "d.txt"):
        (tmp_path / name).write_bytes(name.encode() * 3)
    (tmp_path / "folder.png").mkdir()
    source = Source(str(tmp_path))
    before = source.entries()
    assert [(e.name, e.size_bytes) for e in before] == [("a.png", 15), ("b.png", 15), ("c.png.part", 30)]
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
    flagged = {e.name: bool(e.outside) for e in Source(str(inside)).entries()}
    assert [n for n, o in flagged.items() if not o] == ["real.png", "within.png"]
    assert len(flagged) == 7


def test_a_linked_folder_that_leaves_the_source_is_flagged(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "1.png").write_bytes(b"x")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "raw").symlink_to(tmp_path / "elsewhere")
    assert [bool(e.outside) for e in Source(str(tmp_path / "source")).entries("raw/")] == [True]


def test_a_source_that_is_a_link_itself_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    source, entry = one(tmp_path / "link", "1.png", encoded(".png", GREY8))
    assert not entry.outside
    assert np.array_equal(source.decode(planned(entry)), GREY8)


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert Source(str(tmp_path)).entries("raw/") == []


def test_a_source_without_a_scheme_is_a_path_if_it_exists_and_a_bucket_if_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gcs: Bucket
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slices").mkdir()
    assert find_source("slices") == str(tmp_path / "slices")
    assert find_source(gcs.name) == gcs.url
    assert find_source("gs://a/b") == "gs://a/b"
    # what is only written down is not looked up
    assert source_url("my_bucket") == "gs://my_bucket"


def test_a_name_that_is_neither_a_path_nor_a_bucket_is_refused_with_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gcs: Bucket
) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = re.escape(f"source fly_stack: there is no such file or folder in {tmp_path}")
    with pytest.raises(UserError, match=f"^{nothing}, and no bucket gs://fly_stack$"):
        find_source("fly_stack")
    gcs.fault("GET", 403, times=9)
    with pytest.raises(StoreError, match=rf"there is no such file .*; if the bucket is meant: {gcs.url}.*\(403\)"):
        find_source(gcs.name)


def test_a_name_is_looked_up_as_a_bucket_for_a_limited_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gcs: Bucket
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("clio_argo.store.source_url.BUCKET_S", 0.2)
    gcs.server.stop()
    try:
        with pytest.raises(TransientError, match=f"no such file or folder in .* bucket {gcs.url} nobody answered"):
            find_source(gcs.name)
    finally:
        gcs.server.go_on()


@pytest.mark.parametrize("source", ["/nowhere/fly", "file:///nowhere/fly"])
def test_a_path_from_the_root_that_does_not_exist_is_refused(source: str) -> None:
    with pytest.raises(UserError, match=f"^source {source}: there is no such file or folder(;|$)"):
        find_source(source)


@pytest.mark.parametrize("source", ["stacks/fly/", "stack.tif", "./my_bucket", "Fly"])
def test_a_source_that_is_no_path_here_and_no_bucket_name_is_refused_at_once(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    meant = f"gs://{source}" if source[0].isalnum() else "gs://BUCKET/FOLDER"
    message = f"source {source}: there is no such file or folder in {tmp_path}; for a bucket write {meant}"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        find_source(source)


# --- ranged reads


@given(st.binary(max_size=200), st.lists(st.tuples(st.sampled_from("rst"), st.integers(-250, 250)), max_size=8))
def test_a_ranged_file_reads_like_the_whole_one(content: bytes, steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x").write_bytes(content)
        entry = Entry(name="x", size_bytes=len(content), stamp="")
        ranged, whole = io.BufferedReader(RangeFile(Store(folder), entry), 16), io.BytesIO(content)
        for step, amount in steps:
            if step == "r":
                assert ranged.read(amount if amount >= 0 else -1) == whole.read(amount if amount >= 0 else -1)
            else:
                origin = io.SEEK_SET if step == "s" else io.SEEK_END
                at = max(0, amount) if step == "s" else max(amount, -len(content))
                assert ranged.seek(at, origin) == whole.seek(at, origin)
        assert ranged.tell() == whole.tell()


@pytest.mark.parametrize("kind", ["grey PNG", "TIFF with its directory at the end", "tiled TIFF", "JPEG"])
def test_headers_read_by_ranges_are_those_of_the_whole_file(tmp_path: Path, kind: str) -> None:
    data = SAMPLES[kind]().data
    _, entry = one(tmp_path, "x.png", data)
    ranged = io.BufferedReader(RangeFile(Store(str(tmp_path)), entry), 64)
    assert read_headers(ranged, len(data)) == read_headers(io.BytesIO(data), len(data))


def test_a_slice_of_a_stack_in_a_bucket_costs_few_requests(gcs: Bucket, tmp_path: Path) -> None:
    stack = np.stack([texture(np.uint16, 300, 400, seed) for seed in range(9)])
    with tifffile.TiffWriter(tmp_path / "stack.tif") as file:
        for plane in stack:
            file.write(plane, contiguous=False)
    Store(gcs.url).write("stack.tif", (tmp_path / "stack.tif").read_bytes())
    source = Source(f"{gcs.url}/stack.tif")
    [entry] = source.entries()
    place = planned(entry, 7, "uint16", 300, 400).model_copy(update={"offset": source.headers(entry)[7].offset})
    before = len(gcs.log())
    assert np.array_equal(source.decode(place), stack[7])
    # header of the file, directory of the page, pixels in two: the first ones to fill a buffer
    assert len(gcs.log()) - before <= 4


def test_an_object_that_did_not_change_is_not_listed_once_more(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tensorstore tells of it is enough: clients of Google and Amazon take far longer."""
    store = Store(bucket.url)
    store.write("a.png", encoded(".png", GREY8))
    source = Source(bucket.url)
    [entry] = source.entries()
    place = planned(entry).model_copy(update={"stamp": entry.stamp})
    with monkeypatch.context() as patch:
        patch.setattr(Store, "objects", None)
        source.refuse_changed(place)
    for change, words in ((lambda: store.write("a.png", b"other"), "changed"), (lambda: store.delete("a.png"), "gone")):
        change()
        with pytest.raises(Undecodable, match=words):
            source.refuse_changed(place)
