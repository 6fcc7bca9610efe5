"""Files copied into buckets: nothing is sent twice, nothing is replaced unseen, and what changes meanwhile is named."""

import base64
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from clio_argo.errors import MissingBucket, StoreError, UserError
from clio_argo.store import uploads
from clio_argo.store.backends import gcs as google
from clio_argo.store.backends.s3 import S3
from clio_argo.store.documents import Store, crc32c
from clio_argo.store.uploads import Comparison, File, compare, files_in, problems_of, send
from tests.proxy import disturbed
from tests.stores import Bucket

CONTENTS = {"a.png": b"a" * 300_000, "b/c d#?.png": os.urandom(70_000), "empty.txt": b""}


def nothing(_: int) -> None: ...


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in CONTENTS.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    return tmp_path / "in"


def files_of(folder: Path) -> list[File]:
    return files_in(folder, follow=False)[0]


def seen(store: Store, folder: Path) -> Comparison:
    return compare(store, files_of(folder), nothing)


def send_all(store: Store, found: Comparison) -> list[str]:
    """Send what is missing and what differs; what is wrong afterwards."""
    chosen = [*((f, None) for f in found.missing), *found.other.values()]
    return problems_of(store, list(send(store, chosen, nothing)))


def test_objects_have_the_bytes_of_the_files_and_are_not_sent_again(bucket: Bucket, folder: Path) -> None:
    store = Store(f"{bucket.url}/fly")
    found = seen(store, folder)
    assert (sorted(f.name for f in found.missing), found.present, found.beside) == (sorted(CONTENTS), [], [])
    assert send_all(store, found) == []
    assert {n: store.read(n) for n in store.names()} == CONTENTS
    again = seen(store, folder)
    assert (len(again.present), again.missing, again.other) == (3, [], {})


def test_what_is_missing_is_sent_after_a_stop(bucket: Bucket, folder: Path) -> None:
    store = Store(bucket.url)
    assert send_all(store, Comparison([], files_of(folder)[:1], {}, [])) == []
    assert len(seen(store, folder).missing) == 2


def test_other_contents_and_other_objects_are_told(bucket: Bucket, folder: Path) -> None:
    store = Store(bucket.url)
    store.write("a.png", b"b" * 300_000)
    store.write("b/c d#?.png", b"short")
    store.write("other/x.png", b"1")
    found = seen(store, folder)
    assert (sorted(found.other), found.beside) == (["a.png", "b/c d#?.png"], ["other/x.png"])
    assert send_all(store, found) == []
    assert {n: store.read(n) for n in CONTENTS} == CONTENTS


@pytest.mark.parametrize("there", [False, True], ids=["new", "replaced"])
def test_an_object_that_somebody_writes_meanwhile_stays(bucket: Bucket, folder: Path, there: bool) -> None:
    store = Store(bucket.url)
    if there:
        store.write("a.png", b"old")
    found = seen(store, folder)
    store.write("a.png", b"theirs")
    assert send_all(store, found) == [
        "a.png: holds other bytes than the file: another process wrote it, or the store is broken"
    ]
    assert store.read("a.png") == b"theirs"


def test_two_uploaders_of_the_same_files_do_no_harm(bucket: Bucket, folder: Path) -> None:
    store = Store(bucket.url)
    found = seen(store, folder)
    assert send_all(store, found) == []
    assert send_all(store, found) == []


def test_a_file_that_changes_meanwhile_is_named(bucket: Bucket, folder: Path) -> None:
    found = seen(Store(bucket.url), folder)
    (folder / "a.png").write_bytes(b"grows" * 90_000)
    (folder / "empty.txt").unlink()
    with pytest.raises(UserError, match=r"empty\.txt: cannot be read: No such file"):
        send_all(Store(bucket.url), found)
    kept = Comparison([], [f for f in found.missing if f.name != "empty.txt"], {}, [])
    assert [p.partition(";")[0] for p in send_all(Store(bucket.url), kept)] == [
        "a.png: the file changed while it was uploaded"
    ]


def test_an_object_that_is_removed_meanwhile_is_named(gcs: Bucket, folder: Path) -> None:
    store = Store(gcs.url)
    sent = list(send(store, [(f, None) for f in files_of(folder)], nothing))
    store.delete("a.png")
    assert problems_of(store, sent) == ["a.png: is not there: somebody has removed it"]


def test_checksums_that_a_store_keeps_none_of_are_read(bucket: Bucket) -> None:
    store = Store(bucket.url)
    data = CONTENTS["b/c d#?.png"]
    store.write("a", data)  # with no checksum of the kind that S3 would keep
    assert [store.crc32c(item) for item in store.objects()] == [crc32c(data)]


def test_s3_keeps_the_checksum_that_it_was_sent(s3: Bucket, folder: Path) -> None:
    store = Store(s3.url)
    assert send_all(store, seen(store, folder)) == []
    kept = {name: S3.crc32c(s3.name, name) for name in CONTENTS}
    assert kept == {name: crc32c(data) for name, data in CONTENTS.items()}


def test_a_checksum_over_parts_is_not_taken_for_that_of_the_object(s3: Bucket) -> None:
    client, data, of = boto3.client("s3"), os.urandom(6 * 2**20), {"Bucket": s3.name, "Key": "a"}
    upload = {**of, "UploadId": client.create_multipart_upload(**of, ChecksumAlgorithm="CRC32C")["UploadId"]}
    told = []
    for n, body in enumerate((data[: 5 * 2**20], data[5 * 2**20 :]), 1):
        checksum = {"ChecksumCRC32C": base64.b64encode(bytes.fromhex(crc32c(body))).decode()}
        part = client.upload_part(**upload, PartNumber=n, Body=body, ChecksumAlgorithm="CRC32C", **checksum)
        told.append({"PartNumber": n, "ETag": part["ETag"], **checksum})
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": told})
    store = Store(s3.url)
    assert [store.crc32c(item) for item in store.objects()] == [crc32c(data)]


@pytest.mark.parametrize("changed", [False, True])
def test_bytes_that_a_store_refuses_are_those_of_a_changed_file_or_an_error(
    gcs: Bucket, folder: Path, changed: bool
) -> None:
    store = Store(gcs.url)
    [file] = [f for f in files_of(folder) if f.name == "a.png"]
    if changed:
        (folder / "a.png").write_bytes(b"longer" * 100_000)
    gcs.fault("POST .*/upload/", 400, 1)  # as S3 answers
    if not changed:
        with pytest.raises(StoreError, match=r"a\.png"):
            list(send(store, [(file, None)], nothing))
        return
    sent = list(send(store, [(file, None)], nothing))
    assert problems_of(store, sent)[0].startswith("a.png: the file changed")


@pytest.mark.properties
@pytest.mark.parametrize(("size", "fault"), [(300, "503"), (9 * 2**20, "reset")])
def test_files_of_any_size_arrive_over_a_store_that_stumbles(
    size: int, fault: str, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google, "PIECE", 2**22)  # three pieces
    data, told = os.urandom(size), list[int]()
    (tmp_path / "a").write_bytes(data)
    with disturbed(bucket.server.endpoint, fault) as proxy, monkeypatch.context() as patch:
        for name, value in replace(bucket.server, endpoint=proxy.endpoint).variables.items():
            patch.setenv(name, value)
        store = Store(bucket.url)
        sent = list(send(store, [(f, None) for f in files_of(tmp_path)], told.append))
        assert not proxy.left
    assert problems_of(Store(bucket.url), sent) == []
    assert Store(bucket.url).read("a") == data
    assert sum(told) == size


def test_many_are_under_way_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = threading.Barrier(uploads.AT_ONCE, timeout=20)
    done = list(uploads.each(lambda n: (meeting.wait(), n)[1], range(uploads.AT_ONCE), uploads.AT_ONCE))
    assert sorted(done) == list(range(uploads.AT_ONCE))


def test_after_an_error_nothing_more_begins(tmp_path: Path) -> None:
    begun = list[int]()

    def fail(n: int) -> None:
        begun.append(n)
        raise UserError("no")

    with pytest.raises(UserError):
        list(uploads.each(fail, range(1000), 1))
    assert begun == [0]


def test_hidden_files_transfers_and_links_are_left_out_and_said(folder: Path) -> None:
    (folder / ".git").mkdir()
    for name in (".git/x", ".a.png", "d.png.part", "e.png"):
        (folder / name).write_bytes(b"1")
    (folder / "link.png").symlink_to("e.png")
    (folder / "broken").symlink_to("nowhere")
    (folder / "linked").symlink_to("b")
    os.mkfifo(folder / "pipe")
    files, left_out = files_in(folder, follow=False)
    assert [f.name for f in files] == ["a.png", "e.png", "empty.txt", "b/c d#?.png"]
    assert left_out == {
        "hidden": [".a.png", ".git/x"], "transfers under way": ["d.png.part"], "no regular files": ["pipe"],
        "links": ["broken", "link.png", "linked"],
    }  # fmt: skip
    files, left_out = files_in(folder, follow=True)
    assert "link.png" in [f.name for f in files]
    assert left_out["links"] == ["broken", "linked"]


def _odd(folder: Path) -> None:
    (folder / "a\nb.png").write_bytes(b"1")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(b"1")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda f: None, "holds no file to upload"),
        (lambda f: f.rmdir(), "does not exist"),
        (_odd, r"names no object can have(.|\n)*'a\\nb\.png': holds a character(.|\n)*'\\udcff\.png': is not UTF-8"),
    ],
)
def test_what_cannot_be_uploaded_is_named(make: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make(tmp_path / "in")
    with pytest.raises(UserError, match=words):
        files_in(tmp_path / "in", follow=False)


def test_a_file_is_uploaded_under_its_name(folder: Path) -> None:
    assert [f.name for f in files_in(folder / "a.png", follow=False)[0]] == ["a.png"]


def test_places_that_take_no_files_are_refused(folder: Path, tmp_path: Path, gcs: Bucket) -> None:
    with pytest.raises(UserError, match="to buckets only"):
        seen(Store(str(tmp_path / "out")), folder)
    with pytest.raises(MissingBucket, match="there is no bucket"):
        seen(Store(f"{gcs.url}-none/fly"), folder)
    huge = File(folder / "a.png", "a.png", 2**43, "")
    with pytest.raises(UserError, match=r"takes at most 5497558138880 bytes at once; use rclone"):
        compare(Store(gcs.url), [huge], nothing)
