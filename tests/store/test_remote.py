"""Buckets are stores like folders: both kinds, on real servers."""

import os

from clio_argo.store.documents import Store, record_of
from tests.stores import Bucket


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


def test_only_one_creates_an_object(bucket: Bucket) -> None:
    store = Store(bucket.url)
    assert [store.create("config.json", b"1"), store.create("config.json", b"2")] == [True, False]
    assert store.read("config.json") == b"1"
