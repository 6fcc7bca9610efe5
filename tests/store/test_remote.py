"""Buckets are stores like folders: both kinds, on real servers."""

import os
import socket
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import numpy as np
import pytest

from clio_argo.model.run import ObjectRecord
from clio_argo.store.backends import web
from clio_argo.store.documents import AT_ONCE, Store, record_of
from clio_argo.store.images.base import Header
from clio_argo.store.slices import Entry
from clio_argo.store.sources import open_source
from clio_argo.store.sources.base import StackSource
from clio_argo.workspace.headers import all_headers
from tests.stacks import encoded
from tests.stores import Bucket, Server


def test_a_bucket_keeps_objects_as_a_folder_does(bucket: Bucket) -> None:
    store = Store(f"{bucket.url}/runs/fly")
    data = os.urandom(70_000) + b"\r\n--x"
    assert store.read("ng/0") is None
    assert store.write("ng/a b/ü+%.shard", data) == record_of("ng/a b/ü+%.shard", data)
    assert store.read("ng/a b/ü+%.shard") == data
    store.write("ngx", b"1")
    assert store.names() == ["ng/a b/ü+%.shard", "ngx"]
    assert store.names("ng") == ["ng/a b/ü+%.shard"]
    store.delete("ngx")
    assert store.names() == ["ng/a b/ü+%.shard"]
    assert Store(f"{bucket.url}/runs/f").names() == []


def test_many_objects_are_written_at_a_time(gcs: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    meeting, write = threading.Barrier(AT_ONCE, timeout=20), Store.write

    def meet(store: Store, name: str, data: bytes) -> ObjectRecord:
        meeting.wait()
        return write(store, name, data)

    monkeypatch.setattr(Store, "write", meet)
    objects = {f"n{i:02}": bytes([i]) for i in range(AT_ONCE)}
    assert Store(gcs.url).write_all(objects.items()) == [record_of(*o) for o in objects.items()]
    assert Store(gcs.url).names() == list(objects)


def test_headers_in_a_bucket_are_read_many_at_a_time(gcs: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    store, image = Store(gcs.url), encoded(np.zeros((9, 9), np.uint8))
    store.write_all((f"{i:03}.png", image) for i in range(AT_ONCE + 1))
    source = open_source(gcs.url)
    monkeypatch.setattr("clio_argo.workspace.headers.QUICK_S", 0)
    monkeypatch.setattr("clio_argo.workspace.headers.HEADER_BATCH", 1)
    meeting, headers = threading.Barrier(AT_ONCE, timeout=20), type(source).headers
    entries = list(source.entries())

    def meet(self: StackSource, entry: Entry) -> list[Header]:
        # the first one tells how quick the store is
        if entry != entries[0]:
            meeting.wait()
        return headers(self, entry)

    monkeypatch.setattr(type(source), "headers", meet)
    assert len(list(all_headers(source, entries, {}))) == len(entries)


def test_only_one_creates_an_object(bucket: Bucket) -> None:
    store = Store(bucket.url)
    assert [store.create("config.json", b"1"), store.create("config.json", b"2")] == [True, False]
    assert store.read("config.json") == b"1"


def test_an_object_is_replaced_only_as_it_was_seen(bucket: Bucket) -> None:
    store = Store(bucket.url)
    nothing = store.generation("config.json")
    assert store.replace("config.json", b"1", nothing)
    first = store.generation("config.json")
    assert [store.replace("config.json", b"2", g) for g in (nothing, first, first)] == [False, True, False]
    assert store.read("config.json") == b"2"


def test_listings_hold_sizes_without_reading(bucket: Bucket) -> None:
    store, data = Store(f"{bucket.url}/runs/fly#1 ?"), os.urandom(70_000)
    written = [store.write(n, data[:k]) for n, k in (("ng/1.shard", 70_000), ("ng/info", 7))]
    Store(bucket.url).write("runs/fly", b"no part of the run")
    before = len(bucket.log()) if bucket.server.scheme == "gs" else 0
    listed = list(store.listed("ng"))
    assert store.sizes("ng") == {o.name: o.size for o in written} == {o.name: o.size for o in listed}
    if bucket.server.scheme == "gs":
        assert [o.crc32c for o in listed] == [o.crc32c for o in written]
        assert not [r for r in bucket.log()[before:] if "/o/" in r and r.startswith("GET")]


def test_long_listings_come_in_pages(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PAGE", 4)
    store = Store(bucket.url)
    names = [f"many/{i:05d}" for i in range(10)]
    for name in names:
        store.write(name, b"1")
    assert store.names() == names


def test_a_store_is_a_place_in_its_parent(bucket: Bucket) -> None:
    parent, name = Store(f"{bucket.url}/a b/stack.tif").parent()
    assert (parent.url, name) == (f"{bucket.url}/a b/", "stack.tif")
    parent, name = Store(bucket.url).parent()
    assert (parent.url, name) == (f"{bucket.url}/", "")


def test_a_large_object_is_taken_at_once(gcs_server: Server) -> None:
    """Clients ask before they send more than 1 MiB, and wait for a second if nobody answers."""
    place = urlsplit(gcs_server.endpoint)
    with socket.create_connection((place.hostname or "", place.port or 0), 10) as link:
        link.sendall(b"POST /upload/storage/v1/b/x/o?uploadType=media&name=a HTTP/1.1\r\n"
                     b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n")  # fmt: skip
        assert link.recv(100).startswith(b"HTTP/1.1 100 ")


@pytest.mark.properties
def test_one_variable_leads_to_an_emulator(gcs: Bucket) -> None:
    Store(gcs.url).write("a", b"1")
    alone = {name: value for name, value in os.environ.items() if name not in gcs.server.variables}
    code = f"from clio_argo.store.documents import Store; s = Store({gcs.url!r}); print(s.names(), s.read('a'))"
    told = subprocess.run(
        [sys.executable, "-c", code], env={**alone, "STORAGE_EMULATOR_HOST": gcs.server.endpoint},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert told.stdout == "['a'] b'1'\n", told.stderr
