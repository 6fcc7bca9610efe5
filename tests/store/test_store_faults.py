"""Stores that refuse, stumble, or are silent: real requests to real servers."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from google.api_core.exceptions import PreconditionFailed

from clio_argo.errors import MissingBucket, StoreError, TransientError, UserError
from clio_argo.store.documents import Store
from clio_argo.store.faults import explained
from tests.proxy import disturbed
from tests.stores import Bucket

DATA = bytes(range(256)) * 400
VERBS: dict[str, Callable[[Store], object]] = {
    "read": lambda s: s.read("a"),
    "list": lambda s: s.names(),
    "write": lambda s: s.write("a", DATA),
    "delete": lambda s: s.delete("a"),
}
GOOGLE = {"read": "get", "list": "list", "write": "create", "delete": "delete"}
AMAZON = {"read": "GetObject", "list": "ListBucket", "write": "PutObject", "delete": "DeleteObject"}
OPEN = "from clio_argo.store.documents import Store; s = Store('{url}'); "
STUMBLES = ("408", "429", "500", "503", "reset", "lost")


def through(proxy: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in replace(bucket.server, endpoint=proxy).variables.items():
        monkeypatch.setenv(name, value)
    return Store(bucket.url)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("status", "words"), [(401, "no valid credentials"), (403, "no permission to")])
def test_a_refusal_names_object_permission_and_remedy(
    verb: str, status: int, words: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(bucket.url).write("a", DATA)
    # google-cloud-storage looks at the bucket beside a listing
    with disturbed(bucket.server.endpoint, *[str(status)] * (2 if verb == "list" else 1)) as proxy:
        store = through(proxy.endpoint, bucket, monkeypatch)
        with pytest.raises(StoreError) as caught:
            VERBS[verb](store)
    text = str(caught.value)
    needed = f"storage.objects.{GOOGLE[verb]}" if store.url.startswith("gs") else f"s3:{AMAZON[verb]}"
    assert text.startswith(f"{store.url}{'' if verb == 'list' else 'a'}: ")
    assert words in text
    assert needed in text
    assert len(proxy.seen) == len(set(proxy.seen)), "a refusal is not tried again"


def test_a_policy_of_the_organisation_is_named() -> None:
    text = "412 POST /storage/v1/b: 'us' violates constraint 'constraints/gcp.resourceLocations'"
    error = explained("gs://lab", "", PreconditionFailed(text), "administer")
    assert "constraints/gcp.resourceLocations" in str(error)
    assert "a policy of the organisation forbids it" in str(error)
    assert "run the same command again" not in str(error)


SIGNED = "from clio_argo.store.documents import Store; s = Store('{url}'); s.write('a', b'1'); s.read('a'); s.names()"


@pytest.mark.properties
def test_credentials_of_a_mounted_file_sign_every_request(
    s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = "[default]\naws_access_key_id = AKMOUNTED\naws_secret_access_key = x\n"
    (tmp_path / "credentials").write_text(keys)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "credentials"))
    with disturbed(s3.server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        command = [sys.executable, "-c", SIGNED.format(url=s3.url)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(proxy.heads) > 2
    assert not [head for head in proxy.heads if b"Credential=AKMOUNTED/" not in head]


@pytest.mark.parametrize("verb", ["write", "list"])
def test_a_condition_that_did_not_hold_is_named(verb: str, gcs: Bucket) -> None:
    store = Store(gcs.url)
    store.write("a", DATA)
    gcs.fault("(POST|GET) .*/o[?]", 412, 1)
    with pytest.raises(StoreError, match=r"^gs://.*: another process changed it .*\(412\): run the same command"):
        VERBS[verb](store)
    assert store.read("a") == DATA


def test_a_condition_that_did_not_hold_changes_nothing(bucket: Bucket) -> None:
    store = Store(bucket.url)
    assert store.create("a", b"1")
    before = store.generation("a")
    assert not store.create("a", b"2")
    assert store.replace("a", b"3", before)
    assert not store.replace("a", b"4", before)
    assert store.read("a") == b"3"


@pytest.mark.parametrize("verb", ["list", "write", "need"])
def test_a_bucket_that_is_not_there_is_named(verb: str, bucket: Bucket) -> None:
    store = Store(f"{bucket.server.scheme}://clio-no-such-bucket/run")
    with pytest.raises(MissingBucket, match=rf"run/.*no bucket {store.url.removesuffix('/run/')} \(404\)"):
        {**VERBS, "need": lambda s: s.need("a")}[verb](store)


@pytest.mark.properties
def test_stumbles_are_tried_again(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"a/{i}" for i in range(len(STUMBLES))]
    with disturbed(bucket.server.endpoint, *STUMBLES) as proxy, ThreadPoolExecutor(len(names)) as threads:
        store = through(proxy.endpoint, bucket, monkeypatch)
        list(threads.map(store.write, names, [DATA] * len(names)))
        proxy.left.extend(STUMBLES)
        assert list(store.read_all(names)) == [DATA] * len(names)
        # boto3 does not try a bare 408 again, which S3 never sends
        proxy.left.extend(STUMBLES[1:])
        assert list(threads.map(store.names, ["a"] * 5)) == [names] * 5
        assert not proxy.left


@pytest.mark.properties
def test_slow_bytes_arrive(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(bucket.url).write("a", DATA)
    with disturbed(bucket.server.endpoint, "slow") as proxy:
        started = time.monotonic()
        assert through(proxy.endpoint, bucket, monkeypatch).read("a") == DATA
        assert time.monotonic() - started > 1


def test_a_store_that_stops_for_a_while_is_waited_for(gcs: Bucket) -> None:
    store = Store(gcs.url)
    store.write("a", DATA)
    gcs.server.stop()
    future = store.kv.read("a")
    time.sleep(1)
    assert not future.done()
    gcs.server.go_on()
    assert future.result().value == DATA


def elsewhere(code: str, bucket: Bucket, endpoint: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    found = replace(bucket.server, endpoint=endpoint).variables
    # what this process has set for tensorstore when it opened a bucket
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TENSORSTORE_CURL_")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60,
        env={**inherited, **found, **variables},
    )  # fmt: skip


@pytest.mark.properties
def test_a_silent_connection_is_given_up_and_made_again(bucket: Bucket) -> None:
    code = OPEN.format(url=bucket.url) + "s.write('a', b'1'); print(s.read('a'), s.names())"
    with disturbed(bucket.server.endpoint, "silent", "none", "silent") as proxy:
        done = elsewhere(code, bucket, proxy.endpoint, CLIO_STORE_SILENCE_S="1")
    assert done.stdout == "b'1' ['a']\n", done.stderr


@pytest.mark.properties
def test_a_dead_store_is_given_up_with_its_name(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIO_STORE_TRIES", "1")
    store = through("http://127.0.0.1:9", bucket, monkeypatch)
    for verb in VERBS.values():
        with pytest.raises(TransientError, match=rf"^{store.url}a?: the store does not answer"):
            verb(store)


@pytest.mark.parametrize("text", ["0", "-1", "many"])
def test_a_number_of_tries_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIO_STORE_TRIES", text)
    with pytest.raises(UserError, match="CLIO_STORE_TRIES"):
        Store("gs://bucket").read("a")


@contextmanager
def metadata_server(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """A metadata server of Google Cloud: the statuses of its first answers (0: it hangs up), and what it was asked."""
    first, asked = list(statuses), list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status = first.pop(0) if first else 200
            if status:
                self.send_response(status)
                self.send_header("Metadata-Flavor", "Google")
                self.send_header("Content-Type", "application/json" if "accounts" in self.path else "text/plain")
                self.end_headers()
                self.wfile.write(self.answer() if status == 200 else b"Unable to generate access token")

        def answer(self) -> bytes:
            if "project" in self.path or "universe" in self.path:
                return b"fly" if "project" in self.path else b"googleapis.com"
            token = {"access_token": "x", "expires_in": 3600, "token_type": "Bearer"}
            account = {"email": "worker@fly.example", "scopes": ["all"], "aliases": ["default"]}
            return json.dumps(token if "token" in self.path else account).encode()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()


def in_a_pod(code: str, gcs: Bucket, metadata: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """The code where credentials come from a metadata server, and requests without any are refused."""
    gcs.fault(".* anonymous", 401, 1000)
    own = {"GCE_METADATA_HOST": metadata, "GCE_METADATA_ROOT": metadata, "GCE_METADATA_IP": metadata}
    nothing = {"STORAGE_EMULATOR_HOST": "", "HOME": "/nonexistent"}
    return elsewhere(f"{EXIT_CODE}\n{code}", gcs, gcs.server.endpoint, **own, **nothing, **more)


# as containers end
EXIT_CODE = """
import os, sys
from clio_argo.container import exit_code
del os.environ["GOOGLE_AUTH_TOKEN_FOR_TESTING"]
sys.excepthook = lambda kind, error, _: sys.exit(exit_code(lambda: (_ for _ in ()).throw(error)))
"""


@pytest.mark.properties
@pytest.mark.parametrize("first", [(503,), (0, 403)], ids=str)
def test_a_metadata_server_that_stumbles_is_waited_for(first: tuple[int, ...], gcs: Bucket) -> None:
    Store(gcs.url).write("a", b"1")
    with metadata_server(*first) as (host, _):
        code = "from clio_argo.store.backends.gcs import client; print(s.read('a'), client().project)"
        done = in_a_pod(OPEN.format(url=gcs.url) + code, gcs, host)
    assert done.stdout == "b'1' fly\n", done.stderr


@pytest.mark.properties
def test_a_metadata_server_that_fails_on_ends_a_pod_that_is_tried_again(gcs: Bucket) -> None:
    with metadata_server(*[503] * 20) as (host, asked):
        done = in_a_pod(OPEN.format(url=gcs.url) + "s.read('a')", gcs, host, CLIO_STORE_TRIES="2")
    assert done.returncode == 75
    assert f"error: {host} gives no credentials (503 Unable to generate access token): try again" in done.stderr
    assert len(asked) == 3, "Google's own client, then twice"


def test_credentials_that_a_client_did_not_get_end_a_pod_that_is_tried_again(gcs: Bucket) -> None:
    """Tensorstore takes one answer of 503 for a machine without an identity, and asks the store without one."""
    Store(gcs.url).write("a", b"1")
    with metadata_server(200, 200, 200, 503) as (host, asked):
        done = in_a_pod(OPEN.format(url=gcs.url) + "s.read('a')", gcs, host)
    assert asked[3].endswith("?recursive=true")
    assert done.returncode == 75, done.stderr
    assert "this machine got no credentials in time; try again" in done.stderr


def test_without_credentials_public_buckets_are_read_and_private_ones_named(gcs: Bucket) -> None:
    Store(gcs.url).write("a", b"1")
    gcs.fault("GET .*/o/b", 401, 1)
    code = OPEN.format(url=gcs.url) + "print(s.read('a')); s.read('b')"
    nothing = {"GOOGLE_AUTH_TOKEN_FOR_TESTING": "", "STORAGE_EMULATOR_HOST": "", "HOME": "/nonexistent"}
    started = time.monotonic()
    done = elsewhere(code, gcs, gcs.server.endpoint, **nothing)
    assert time.monotonic() - started < 30
    assert done.stdout == "b'1'\n", done.stderr
    assert "no valid credentials (401): log in (gcloud auth application-default login)" in done.stderr
