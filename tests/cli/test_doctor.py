"""What the doctor finds right and wrong, on real stores; clusters are looked at in tests/e2e."""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from clio_argo.cli.app import app
from clio_argo.cli.doctor import examine
from clio_argo.cli.doctor_store import clock, location, look_at_run, look_at_source, readable_by_pages
from clio_argo.cli.findings import Finding, Inconclusive, look
from clio_argo.cli.options import Cluster
from clio_argo.errors import UserError
from clio_argo.store import buckets
from clio_argo.store.documents import Store
from tests.stacks import DEMO, cli
from tests.stores import Bucket


@pytest.fixture(autouse=True)
def _few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIO_STORE_TRIES", "1")


def wrong(found: Iterable[Finding]) -> dict[str, str]:
    """What each red line says, with its remedy."""
    return {f.name: f"{f.found} {f.remedy}" for f in found if f.verdict == "WRONG"}


def test_a_sound_machine_source_and_folder(tmp_path: Path) -> None:
    found = list(examine(str(DEMO), str(tmp_path), None))
    assert wrong(found) == {}
    assert {f.name: f.found for f in found}[f"source {DEMO}: list"] == "60 images"
    assert Store(str(tmp_path)).names() == []


@pytest.mark.parametrize(("kind", "said"), [("uint16", "16 bit"), ("float32", "float32")])
def test_the_type_of_the_values_is_told(tmp_path: Path, kind: str, said: str) -> None:
    tifffile.imwrite(tmp_path / "1.tif", np.ones((8, 9), kind), metadata=None)
    assert [f.found for f in look_at_source(str(tmp_path))][1] == f"1.tif has 9 x 8 pixels of {said}"


def test_looking_changes_no_patience_of_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIO_STORE_TRIES")
    assert CliRunner().invoke(app, ["doctor", str(DEMO), str(tmp_path)]).exit_code == 0
    assert "CLIO_STORE_TRIES" not in os.environ


def test_a_bucket_is_tried_with_every_verb(bucket: Bucket) -> None:
    found = list(examine(None, f"{bucket.url}/fly", None))
    assert wrong(found) == {}
    done = [f.name.rpartition(": ")[2] for f in found if f.name.startswith(bucket.url)]
    assert done == ["write", "list", "read", "read a range", "browsers", "clock", "delete"]
    assert Store(bucket.url).names() == []


def test_the_rules_of_a_private_bucket_are_looked_at(gcs: Bucket) -> None:
    """A page cannot be played where strangers are refused; its readers' viewers need the rules nevertheless."""
    found = seen_by_strangers(gcs)
    assert found.verdict == "WRONG"
    assert "has no CORS rule" in found.found
    assert "clio-argo bucket cors" in found.remedy
    buckets.Bucket(gcs.name).allow_pages()
    assert seen_by_strangers(gcs).verdict == "?"


def seen_by_strangers(bucket: Bucket) -> Finding:
    """What is told of pages when the bucket refuses strangers."""
    findings = look_at_run(bucket.url)
    while not next(findings).name.endswith("read a range"):
        pass
    bucket.fault("^GET ", 403, 1)
    asked, *_ = findings
    return asked


@pytest.mark.parametrize(
    ("match", "verb", "words"),
    [
        ("^POST", "write", "storage.objects.create"),
        ("^GET .*prefix=", "list", "storage.objects.list"),
        ("^DELETE", "delete", "storage.objects.delete"),
    ],
)
def test_a_verb_that_is_refused_is_named_with_the_permission(match: str, verb: str, words: str, gcs: Bucket) -> None:
    gcs.fault(match, 403, 1)
    (name, told), *others = wrong(examine(None, gcs.url, None)).items()
    assert (name, others) == (f"{gcs.url}: {verb}", [])
    assert words in told


@pytest.fixture
def plain_server(tmp_path: Path) -> Iterator[str]:
    """A server of files that says nothing about other sites' pages."""
    (tmp_path / "info").write_bytes(b"{}")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/info"
        server.shutdown()


def test_browsers_that_are_kept_out_are_told(plain_server: str) -> None:
    with pytest.raises(UserError, match="does not let pages of https://neuroglancer"):
        readable_by_pages(plain_server)


def test_a_source_without_images_ends_with_1(tmp_path: Path) -> None:
    told = cli("doctor", tmp_path)
    assert (told.returncode, told.stderr) == (1, "")
    assert f"WRONG source {tmp_path}: list:" in told.stdout
    assert "holds no images" in told.stdout


def test_a_cluster_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARGO_SERVER", "127.0.0.1:9")
    assert list(wrong(examine(None, None, Cluster("lab")))) == ["cluster"]
    monkeypatch.delenv("ARGO_SERVER")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert list(wrong(examine(None, None, Cluster("lab")))) == ["cluster"]


def test_a_bucket_tells_where_it_lies(gcs: Bucket, s3: Bucket) -> None:
    assert location(gcs.url) == "US"
    with pytest.raises(Inconclusive):
        location(s3.url)


def test_nothing_is_waited_for_without_end() -> None:
    began = time.monotonic()
    found = look("store", lambda: str(time.sleep(60)), "look at the network", limit_s=0.1)
    assert (found.found, found.remedy) == ("no answer within 0 s", "look at the network")
    assert time.monotonic() - began < 10


def test_a_clock_that_is_wrong_is_told_by_how_much() -> None:
    now = datetime.now(UTC)
    assert "within" in clock(format_datetime(now, usegmt=True))
    with pytest.raises(UserError, match=r"30[01] s ahead of the server's"):
        clock(format_datetime(now - timedelta(minutes=5), usegmt=True))
    with pytest.raises(UserError, match=r"(300|299) s behind"):
        clock(format_datetime(now + timedelta(minutes=5), usegmt=True))
