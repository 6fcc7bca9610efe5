"""Objects by name: what is written is read, once means once, and what a store refuses is explained."""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.errors import BrokenVolume, ClioError, MissingInput, StoreError, TransientError, UserError
from clio_argo.model.run import ObjectRecord, UnitRecord, Verification
from clio_argo.store.backends import file, web
from clio_argo.store.documents import Store, absolute_url, crc32c, split_url

KIB = 1024


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "run"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    options = ["mount", "-t", "tmpfs", "-o", "size=64k", "clio-argo-test", str(folder)]
    done = subprocess.run(options, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def read_only(folder: Path) -> None:
    """Make the mounted `folder` read-only."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


# --- reading and writing


@given(st.binary(max_size=300))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    store = Store(str(tmp_path_factory.getbasetemp() / "any"))
    written = store.write("a/b", data)
    assert store.read("a/b") == store.need("a/b") == data
    assert store.record("a/b") == written == ObjectRecord(name="a/b", size=len(data), crc32c=crc32c(data))


def test_a_checksum_is_the_castagnoli_crc_in_eight_digits() -> None:
    # the check value of CRC-32C, and one with leading zeros
    assert crc32c(b"123456789") == "e3069283"
    assert crc32c(b"") == "00000000"


def test_an_object_that_is_not_there_is_none_or_a_missing_input(store: Store) -> None:
    assert store.read("a") is None
    assert store.find_document(Verification, "a") is None
    with pytest.raises(MissingInput, match=r"/run/a does not exist"):
        store.need("a")
    with pytest.raises(MissingInput):
        store.document(Verification, "a")
    with pytest.raises(BrokenVolume, match="was written and is not there"):
        store.record("a")


def test_writing_again_replaces(store: Store) -> None:
    store.write("a", b"first, longer")
    store.write("a", b"second")
    assert store.read("a") == b"second"


def test_creating_writes_once_and_says_so(store: Store) -> None:
    assert store.create("config.json", b"first")
    assert not store.create("config.json", b"second")
    assert store.read("config.json") == b"first"


def test_one_of_many_creators_wins(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda i: store.create("config.json", str(i).encode()), range(8)))
    assert won.count(True) == 1
    assert store.read("config.json") == str(won.index(True)).encode()


def test_names_are_sorted_and_those_of_a_folder_are_its_own(store: Store) -> None:
    for name in ("ng/info", "ng/8_8_8/1.shard", "ng", "ng-old/info", "ng0", "aligned/zarr.json"):
        if name != "ng":
            store.write(name, b"x" * len(name))
    assert store.names("ng") == store.names("ng/") == ["ng/8_8_8/1.shard", "ng/info"]
    assert store.names() == ["aligned/zarr.json", "ng-old/info", "ng/8_8_8/1.shard", "ng/info", "ng0"]
    assert store.sizes("ng") == {"ng/8_8_8/1.shard": 16, "ng/info": 7}
    assert store.names("nowhere") == []


def test_what_a_killed_writer_left_is_no_object(store: Store, tmp_path: Path) -> None:
    store.write("a", b"1")
    (tmp_path / "run" / "b.__lock").write_bytes(b"half")
    assert store.names() == ["a"]
    assert store.write("b", b"whole").size == 5


LONGER = b"of an earlier writer" * 300


def test_what_a_killed_writer_left_is_no_part_of_what_is_written(store: Store, tmp_path: Path) -> None:
    for name in ("a", "config.json"):
        store.write(name, b"old")
        (tmp_path / "run" / f"{name}.__lock").write_bytes(LONGER)
    assert store.write("a", b"short").size == 5
    assert store.replace("config.json", b"short", store.generation("config.json"))
    assert store.read("a") == store.read("config.json") == b"short"
    assert store.leftovers() == [f"{tmp_path}/run/a.__lock"]


def test_what_killed_writers_left_is_removed_but_for_what_somebody_has_open(store: Store, tmp_path: Path) -> None:
    store.write("deep/folder/a", b"1")
    folder = tmp_path / "run" / "deep" / "folder"
    left, used = folder / "a_0123456789abcdef.__lock", folder / "b.__lock"
    for path in (left, used):
        path.write_bytes(b"half")
    # its target stays, and it itself is too young to be told from one in use
    (folder / "c.__lock").symlink_to(folder / "a")
    with used.open("rb"):
        assert store.leftovers() == store.leftovers(remove=True) == [str(left)]
        assert sorted(p.name for p in folder.iterdir()) == ["a", "b.__lock", "c.__lock"]
    assert store.leftovers(remove=True) == [str(used)]


def test_a_lock_that_is_held_is_waited_for_and_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "PATIENCE_S", 0.3)
    store.write("config.json", b"1")
    before, lock = store.generation("config.json"), Path(store.url.removeprefix("file://")) / "config.json.__lock"
    with lock.open("wb") as held:
        fcntl.fcntl(held, fcntl.F_OFD_SETLK, file.EXCLUSIVE)
        with pytest.raises(TransientError, match=rf"^{lock}: another process has held this lock for 0.3 s"):
            store.replace("config.json", b"2", before)
        # what needs no condition needs no lock
        store.write("config.json", b"3")
    assert not store.replace("config.json", b"2", before)
    assert store.read("config.json") == b"3"
    assert not lock.exists()


def test_a_lock_that_is_a_link_is_not_followed(store: Store, tmp_path: Path) -> None:
    store.write("a", b"1")
    (tmp_path / "run" / "config.json.__lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=r"config\.json"):
        store.create("config.json", b"2")
    assert not (tmp_path / "elsewhere").exists()


def test_a_store_that_holds_something_else_than_was_written_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "read", lambda *_: b"something longer")
    with pytest.raises(StoreError, match=r"run/a: 1 bytes .* were written, and it holds 16 bytes .*; run the same"):
        store.write("a", b"1")


def test_what_another_writer_put_there_meanwhile_is_written_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read, met = Store.read, iter([b"another run's", None])
    monkeypatch.setattr(Store, "read", lambda *a: next(met, read(*a)))
    assert store.write("a", b"1") == ObjectRecord(name="a", size=1, crc32c=crc32c(b"1"))


def test_folders_above_a_new_one_are_synced(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = list[str]()
    monkeypatch.setattr(os, "fsync", lambda n: synced.append(str(Path(f"/proc/self/fd/{n}").readlink())))
    store.write("deep/folder/a", b"1")
    # tensorstore itself syncs the folder of the file
    assert synced == [str(tmp_path / "run" / "deep"), str(tmp_path / "run"), str(tmp_path)]
    store.write("deep/folder/b", b"1")
    assert len(synced) == 3


def test_a_foreign_file_with_an_unreadable_name_is_listed(store: Store, tmp_path: Path) -> None:
    store.write("a", b"1")
    Path(os.fsdecode(os.fsencode(tmp_path / "run") + b"/\xff")).write_bytes(b"2")
    assert store.names() == [r"\xff", "a"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..", "/x", "", "a//b", "./x", "a/", "x\0"])
def test_no_name_leaves_the_root(store: Store, tmp_path: Path, name: str) -> None:
    store.write("a", b"1")
    (tmp_path / "x").write_bytes(b"secret")
    for attempt in (lambda: store.read(name), lambda: store.write(name, b"2"), lambda: store.create(name, b"3")):
        with pytest.raises(ClioError):
            attempt()
    assert (tmp_path / "x").read_bytes() == b"secret"
    assert store.names() == ["a"]


@pytest.mark.parametrize("name", ["a b", "ü", "-rf", "a\nb", "100%", "a%20b", "a#b", "a?b", "{{a}}", "é/图"])
def test_odd_names_are_read_as_written(store: Store, tmp_path: Path, name: str) -> None:
    store.write(name, b"1")
    assert store.read(name) == b"1"
    assert store.names() == [name]
    assert (tmp_path / "run" / name).read_bytes() == b"1"


def test_documents_are_read_as_written(store: Store) -> None:
    record = UnitRecord(step="write", unit=1, inputs="x", objects=())
    store.write("manifest/write/1.json", record.to_bytes())
    assert store.document(UnitRecord, "manifest/write/1.json") == record
    assert store.find_document(UnitRecord, "manifest/write/1.json") == record


def test_a_damaged_document_is_named_with_its_url(store: Store) -> None:
    store.write("verification.json", b'{"mode": "qu')
    with pytest.raises(UserError, match=r"^file://.*/run/verification\.json: not a valid Verification"):
        store.document(Verification, "verification.json")


# --- roots


@pytest.mark.parametrize("root", ["with space", "ü图", "100%", "a%20b", "a#b", "a?b", "x/../y", "./z", "-rf", "a:b"])
def test_a_root_may_be_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    monkeypatch.chdir(tmp_path)
    for store in (Store(root), Store(str(tmp_path / root)), Store(Store(root).url)):
        store.write("sub/a", b"1")
        assert store.local is not None
        assert (store.local / "sub" / "a").read_bytes() == b"1"
        assert store.names() == ["sub/a"]
    expected = (tmp_path / root).resolve()
    assert (expected / "sub" / "a").exists()


@pytest.mark.parametrize(
    ("url", "whole", "parts"),
    [
        ("/a/b", "file:///a/b/", ("file", "", "/a/b/")),
        ("file:///a/b//", "file:///a/b/", ("file", "", "/a/b/")),
        ("FILE:///a", "file:///a/", ("file", "", "/a/")),
        ("/", "file:///", ("file", "", "/")),
        ("gs://bucket", "gs://bucket/", ("gs", "bucket", "")),
        ("gs://bucket/a b/", "gs://bucket/a b/", ("gs", "bucket", "a b/")),
        ("s3://bucket/a", "s3://bucket/a/", ("s3", "bucket", "a/")),
    ],
)
def test_a_root_is_a_url_that_ends_in_a_slash(url: str, whole: str, parts: tuple[str, str, str]) -> None:
    assert absolute_url(url) == whole
    assert split_url(whole) == parts
    assert absolute_url(whole) == whole


def test_the_folder_of_a_bucket_and_of_the_file_system_are_what_tensorstore_expects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert Store("gs://bucket").spec() == {
        "driver": "gcs",
        "bucket": "bucket",
        "path": "",
        "gcs_request_retries": web.retries(),
    }
    assert Store("s3://bucket/a#b").spec("ng") == {
        "driver": "s3",
        "bucket": "bucket",
        "path": "a#b/ng/",
        "aws_credentials": {"type": "environment"},
        "endpoint": "http://127.0.0.1:9",
        "aws_region": "us-east-1",
        "s3_request_retries": web.retries(),
    }
    unlocked = {"file_io_locking": {"mode": "none"}}
    assert Store("/").spec("ng") == {"driver": "file", "path": "/ng/", **unlocked}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://a/b", "unknown kind of store 'http'"),
        ("memory://a", "unknown kind"),
        ("file://a/b", "names the host 'a'"),
        ("gs://", "names no bucket"),
    ],
)
def test_a_root_that_is_no_store_is_refused(url: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Store(url)


# --- refusals


def test_a_full_disk_is_named_and_leaves_no_partial_object(small_disk: Path) -> None:
    store = Store(str(small_disk))
    store.write("small", bytes(KIB))
    for write in (store.write, store.create):
        with pytest.raises(StoreError, match=r"large: no space is left"):
            write("large", os.urandom(256 * KIB))
    assert store.read("large") is None
    assert store.names() == ["small"]


def test_a_full_disk_leaves_the_old_object_and_takes_what_fits(small_disk: Path) -> None:
    store = Store(str(small_disk))
    store.write("a", b"old")
    with pytest.raises(StoreError):
        store.write("a", os.urandom(256 * KIB))
    assert store.read("a") == b"old"
    store.write("b", bytes(KIB))
    assert store.sizes("") == {"a": 3, "b": KIB}


def test_a_read_only_folder_is_named_and_can_be_read(small_disk: Path) -> None:
    store = Store(str(small_disk))
    store.write("a", b"1")
    read_only(small_disk)
    for write in (store.write, store.create):
        with pytest.raises(StoreError, match=r"b: no permission"):
            write("b", b"2")
    assert store.read("a") == b"1"


def test_a_root_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Store(str(tmp_path / "file" / "run"))
    with pytest.raises(StoreError, match="Not a directory"):
        store.write("a", b"1")
    with pytest.raises(StoreError, match="Not a directory"):
        store.names()


@pytest.mark.properties
@given(at_once=st.integers(1, 9), wanted=st.lists(st.integers(0, 6), max_size=12))
def test_many_objects_are_read_in_their_order(
    tmp_path_factory: pytest.TempPathFactory, at_once: int, wanted: list[int]
) -> None:
    store = Store(str(tmp_path_factory.getbasetemp() / "many"))
    for n in range(5):
        store.write(f"n{n}", bytes([n] * n))
    found = list(store.read_all((f"n{n}" for n in wanted), at_once))
    assert found == [bytes([n] * n) if n < 5 else None for n in wanted]


@pytest.mark.parametrize("name", ["ng/info", "ng/10_10_10/0.shard"])
def test_no_link_in_a_run_is_written_or_deleted_through(tmp_path: Path, name: str) -> None:
    theirs, root = tmp_path / "theirs", tmp_path / "run"
    (theirs / "10_10_10").mkdir(parents=True)
    (theirs / name[3:]).write_bytes(b"theirs")
    root.mkdir()
    (root / "ng").symlink_to(theirs)
    store = Store(str(root))
    for harm in (lambda: store.write(name, b"ours"), lambda: store.create(name, b"ours"), lambda: store.delete(name)):
        with pytest.raises(StoreError, match=r"is a link to .*theirs"):
            harm()
    assert (theirs / name[3:]).read_bytes() == b"theirs"
    assert store.read(name) == b"theirs"


def test_a_link_in_the_place_of_an_object_is_replaced_or_removed_itself(tmp_path: Path) -> None:
    theirs, store = tmp_path / "theirs", Store(str(tmp_path / "run"))
    theirs.write_bytes(b"theirs")
    for harm in (lambda: store.write("a/b", b"ours"), lambda: store.delete("a/b")):
        (tmp_path / "run" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / "a" / "b").unlink(missing_ok=True)
        (tmp_path / "run" / "a" / "b").symlink_to(theirs)
        harm()
        assert theirs.read_bytes() == b"theirs"
        assert not (tmp_path / "run" / "a" / "b").is_symlink()


def test_a_root_that_a_link_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    Store(str(tmp_path / "run")).write("a/b", b"ours")
    assert (tmp_path / "disk" / "a" / "b").read_bytes() == b"ours"
