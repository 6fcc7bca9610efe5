"""Runs in buckets, served to this machine's browser: the same answers as for files, and what a store refuses."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clio_argo.cli.app import main
from clio_argo.cli.view import runs_shown
from clio_argo.errors import UserError
from clio_argo.model.parse_request import build_request
from clio_argo.store.documents import Store
from clio_argo.viewer import objects
from clio_argo.viewer.layers import Shown, layer_names
from clio_argo.viewer.objects import Remote
from clio_argo.viewer.url import LAYOUTS, PUBLIC_HOST
from tests.serving import serving
from tests.stacks import CLI
from tests.stores import GCS, Bucket, serve

SHARD = bytes(range(256)) * 4
INFO = {"scales": [{"size": [300, 200, 90], "resolution": [8, 8, 16], "voxel_offset": [5, 7, 3493]}]}
OBJECTS = {
    "ng/info": json.dumps(INFO).encode(),
    "ng/s0/0.shard": SHARD,
    "ng/s0/0.shard.other": b"its name begins like another's",
    "ng/byte": b"0",
    "report.html": b"<p>report</p>",
    "config.json": b"{}",
}
HEADERS = (
    "Accept-Ranges", "Access-Control-Allow-Origin", "Cache-Control", "Content-Length", "Content-Range",
    "Content-Security-Policy", "Content-Type", "Cross-Origin-Resource-Policy", "ETag", "Last-Modified", "Vary",
)  # fmt: skip

Answer = tuple[int, bytes, dict[str, str | None]]


def write_run(url: str) -> str:
    for name, data in OBJECTS.items():
        Store(url).write(name, data)
    return url


def remote(url: str, cache: Path | None = None, name: str = "run") -> Shown:
    return Shown(name, Remote(Store(f"{url}/ng"), Store(str(cache)) if cache else None))


def ask(link: str, path: str, method: str = "GET", **headers: str) -> Answer:
    """The answer for a path below the token of the page."""
    connection = http.client.HTTPConnection(urlsplit(link).netloc, timeout=20)
    try:
        base = "/" + urlsplit(link).path.split("/")[1]
        connection.request(method, base + path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read(), {name: answer.headers[name] for name in HEADERS}
    finally:
        connection.close()


@pytest.fixture
def run(bucket: Bucket) -> str:
    return write_run(f"{bucket.url}/run")


@pytest.fixture
def both(run: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The links of a run in a bucket, and of the same run on this machine."""
    write_run(str(tmp_path / "run"))
    with serving(remote(run)) as elsewhere, serving(tmp_path / "run") as here:
        yield elsewhere, here


def test_an_object_is_answered_as_a_file_is(both: tuple[str, str]) -> None:
    for path in ("info", "s0/0.shard", "byte", "none", "s0", "s0/", "s0/0", "", "%2e%2e/report.html"):
        for method in ("GET", "HEAD"):
            elsewhere, here = (ask(link, f"/run/run/ng/{path}", method, Origin=PUBLIC_HOST) for link in both)
            assert elsewhere == here, (path, method)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.from_regex(r"bytes=([0-9]{1,4}-[0-9]{0,4}|-[0-9]{1,4})", fullmatch=True)
    | st.sampled_from(["", "bytes=-", "bytes=0-1,3-4", "lines=0-1", f"bytes={'9' * 5000}-", "bytes=-0", "bytes=1024-"]),
    path=st.sampled_from(["s0/0.shard", "byte"]),
)
def test_a_range_is_that_of_a_file(both: tuple[str, str], asked: str, path: str) -> None:
    (status, body, headers), here = (ask(link, f"/run/run/ng/{path}", Range=asked) for link in both)
    assert (status, body, headers["Content-Range"]) == (*here[:2], here[2]["Content-Range"])
    assert status == 416 or headers == here[2]


def test_only_the_volume_of_a_run_in_a_bucket_is_served(both: tuple[str, str]) -> None:
    for path in ("report.html", "config.json", "ng/../report.html", "ng/%2e%2e/report.html", "ng/s0/%00", "ng//info"):
        assert ask(both[0], f"/run/run/{path}")[:2] == (404, b"")


def test_the_report_of_a_run_in_a_bucket_is_served_with_its_pictures_and_nothing_else(run: str) -> None:
    pictures = {"views/xz_after.png": b"view", "thumbnails/003493.jpg": b"plane"}
    for name, data in pictures.items():
        Store(run).write(name, data)
    [here] = runs_shown([run], None)
    with serving(here) as link:
        for name, data in {**pictures, "report.html": OBJECTS["report.html"]}.items():
            assert ask(link, f"/run/run/{name}")[:2] == (200, data)
        for name in ("config.json", "complete.json", "views/../config.json", "views/", ""):
            assert ask(link, f"/run/run/{name}")[0] == 404


def test_objects_that_come_later_are_served(run: str) -> None:
    with serving(remote(run)) as link:
        assert ask(link, "/run/run/ng/s0/1.shard")[0] == 404
        Store(run).write("ng/s0/1.shard", b"new")
        assert ask(link, "/run/run/ng/s0/1.shard")[:2] == (200, b"new")


def test_an_object_that_became_longer_is_served_whole(run: str) -> None:
    with serving(remote(run)) as link:
        assert ask(link, "/run/run/ng/s0/0.shard", Range="bytes=0-9")[1] == SHARD[:10]
        Store(run).write("ng/s0/0.shard", longer := SHARD + b"more")
        assert ask(link, "/run/run/ng/s0/0.shard")[1] == longer
        Store(run).write("ng/s0/0.shard", longer := longer + b"again")
        assert ask(link, "/run/run/ng/s0/0.shard", Range="bytes=1000-1031")[1] == longer[1000:1032]
        assert ask(link, "/run/run/ng/s0/0.shard", Range="bytes=-5")[1] == b"again"


def test_the_size_of_an_object_is_asked_for_once(gcs: Bucket) -> None:
    with serving(remote(write_run(f"{gcs.url}/run"))) as link:
        for k in range(5):
            assert ask(link, "/run/run/ng/s0/0.shard", Range=f"bytes={k}-{k + 9}")[1] == SHARD[k : k + 10]
        asked = [line for line in gcs.log() if line.startswith("GET") and "0.shard" in line]
        assert sum("prefix" in line for line in asked) == 1


def test_a_cache_that_cannot_be_written_or_is_damaged_does_no_harm(gcs: Bucket, tmp_path: Path) -> None:
    run, cache = write_run(f"{gcs.url}/run"), tmp_path / "cache"
    with serving(remote(run, cache)) as link:
        assert ask(link, "/run/run/ng/s0/0.shard")[1] == SHARD
        [kept] = cache.iterdir()
        kept.write_bytes(SHARD[:9])
        assert ask(link, "/run/run/ng/s0/0.shard")[1] == SHARD
        shutil.rmtree(cache)
        cache.write_text("no folder")
        assert ask(link, "/run/run/ng/s0/0.shard", Range="bytes=0-9")[1] == SHARD[:10]


def test_an_object_that_became_shorter_is_refused_once(run: str) -> None:
    with serving(remote(run)) as link:
        assert ask(link, "/run/run/ng/s0/0.shard")[0] == 200
        Store(run).write("ng/s0/0.shard", b"short")
        assert ask(link, "/run/run/ng/s0/0.shard", Range="bytes=1000-1023")[0] == 502
        assert ask(link, "/run/run/ng/s0/0.shard")[:2] == (200, b"short")


@pytest.mark.properties
@pytest.mark.parametrize(
    ("status", "answered", "told"),
    [(401, 403, "log in"), (403, 403, "storage.objects.get is missing"), (503, 503, "try again later"), (400, 502, "")],
)
def test_what_the_store_refuses(
    gcs: Bucket, monkeypatch: pytest.MonkeyPatch, status: int, answered: int, told: str
) -> None:
    monkeypatch.setenv("CLIO_STORE_TRIES", "1")
    run, refused = write_run(f"{gcs.url}/run"), list[str]()
    with serving(remote(run), refused=refused.append) as link:
        # what may pass is asked for twice
        gcs.fault("GET .*0.shard.*alt=media", status, 4 if answered == 503 else 2)
        for _ in range(2):
            code, body, headers = ask(link, "/run/run/ng/s0/0.shard", Range="bytes=0-9", Origin=PUBLIC_HOST)
            assert (code, headers["Access-Control-Allow-Origin"]) == (answered, PUBLIC_HOST)
            assert told.encode() in body
            assert b"Traceback" not in body
        assert ask(link, "/run/run/ng/s0/0.shard", Range="bytes=0-9")[:2] == (206, SHARD[:10])
    assert len(refused) == 1
    assert "ng/s0/0.shard" in refused[0]


def test_a_store_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIO_STORE_TRIES", "1")
    with serve("gs", str(GCS)) as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        run = write_run(f"{Bucket(server, 'clio-down').make().url}/run")
        with serving(remote(run)) as link:
            ask(link, "/run/run/ng/s0/0.shard", "HEAD")
            server.process.kill()
            server.process.wait()
            for path in ("s0/0.shard", "s0/1.shard"):
                assert ask(link, f"/run/run/ng/{path}")[0] == 503


def test_many_requests_at_once(run: str) -> None:
    with serving(remote(run)) as link, ThreadPoolExecutor(24) as threads:
        answers = threads.map(lambda k: ask(link, "/run/run/ng/s0/0.shard", Range=f"bytes={k}-{k + 9}"), range(96))
        assert [body for _, body, _ in answers] == [SHARD[k : k + 10] for k in range(96)]


def test_a_large_object_comes_in_pieces_and_its_end_is_not_made_up(
    gcs: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_PIECE", 100)
    monkeypatch.setenv("CLIO_STORE_TRIES", "1")
    with serving(remote(write_run(f"{gcs.url}/run"))) as link:
        assert ask(link, "/run/run/ng/s0/0.shard")[:2] == (200, SHARD)
        gets = [line for line in gcs.log() if "0.shard" in line and "alt=media" in line]
        assert len(gets) >= 11
        monkeypatch.setattr(objects, "_PIECE", 1000)
        Store(f"{gcs.url}/run").write("ng/s0/0.shard", SHARD[:1000])
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            ask(link, "/run/run/ng/s0/0.shard", Range="bytes=0-1023")


def media(gcs: Bucket) -> int:
    return sum("0.shard" in line and "alt=media" in line for line in gcs.log())


def test_nothing_is_kept_unless_a_cache_is_given(gcs: Bucket, tmp_path: Path) -> None:
    run = write_run(f"{gcs.url}/run")
    before = media(gcs)
    for cache, requests in ((None, 2), (tmp_path / "cache", 1), (tmp_path / "cache", 0)):
        for _ in range(1 + (cache is None)):
            with serving(remote(run, cache)) as link:
                assert ask(link, "/run/run/ng/s0/0.shard", Range="bytes=5-9")[:2] == (206, SHARD[5:10])
        assert media(gcs) - before == requests
        before = media(gcs)
    Store(run).write("ng/s0/0.shard", SHARD[::-1])
    with serving(remote(run, tmp_path / "cache")) as link:
        assert ask(link, "/run/run/ng/s0/0.shard", Range="bytes=5-9")[1] == SHARD[::-1][5:10]


def page(link: str) -> dict[str, Any]:
    state = json.loads(unquote(link.partition("#!")[2]))
    assert isinstance(state, dict)
    return state


def test_runs_of_one_name_are_layers_with_names_and_tokens_of_their_own(gcs: Bucket, tmp_path: Path) -> None:
    run = write_run(f"{gcs.url}/fly")
    write_run(str(tmp_path / "fly"))
    names = layer_names([f"{run}/", (tmp_path / "fly").as_uri()])
    assert names == [f"{gcs.name}/fly", f"{tmp_path.name}/fly"]
    with serving(remote(run, name=names[0]), Shown(names[1], remote(str(tmp_path / "fly")).volume)) as link:
        layers = page(link)["layers"]
        assert [layer["name"] for layer in layers] == names
        sources = [layer["source"].removeprefix("precomputed://") for layer in layers]
        tokens = [urlsplit(source).path.split("/")[1] for source in sources]
        assert tokens[0] != tokens[1]
        for source in sources:
            assert json.loads(urlopen(f"{source}/info").read()) == INFO
        crossed = sources[1].replace(tokens[1], tokens[0])
        assert ask(link, urlsplit(crossed).path.removeprefix(f"/{tokens[0]}"))[0] == 404


def test_a_run_that_is_deleted_while_it_is_open_leaves_the_other_as_it_was(tmp_path: Path) -> None:
    fly, bee = (write_run(str(tmp_path / name)) for name in ("fly", "bee"))
    with serving(remote(fly, name="fly"), Shown("bee", remote(bee).volume)) as link:
        sources = [layer["source"].removeprefix("precomputed://") for layer in page(link)["layers"]]
        assert json.loads(urlopen(f"{sources[1]}/info").read()) == INFO
        shutil.rmtree(tmp_path / "bee")
        with pytest.raises(HTTPError) as gone:
            urlopen(f"{sources[1]}/info")
        assert gone.value.code == 404
        assert json.loads(urlopen(f"{sources[0]}/info").read()) == INFO


@pytest.mark.parametrize(
    ("urls", "names"),
    [
        (["file:///a/fly/"], ["fly"]),
        (["file:///a/fly%20%23/"], ["fly #"]),
        (["gs://b/"], ["b"]),
        (["gs://b/x/", "gs://b/y/"], ["x", "y"]),
        (["gs://b/1/x/", "gs://b/2/x/", "gs://b/2/y/"], ["1/x", "2/x", "2/y"]),
        (["gs://b/x/", "s3://b/x/"], ["gs/b/x", "s3/b/x"]),
    ],
)
def test_names_tell_runs_apart(urls: list[str], names: list[str]) -> None:
    assert layer_names(urls) == names


def test_a_run_that_is_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="gs://b/x/: is given twice"):
        layer_names(["gs://b/x/", "gs://b/y/", "gs://b/x/"])


def test_the_address_for_the_browser_works_once(run: str) -> None:
    opened = list[str]()
    with serving(remote(run), opened=opened.append) as link:
        while not opened:
            time.sleep(0.01)
        connection = http.client.HTTPConnection(urlsplit(link).netloc, timeout=10)
        for status, location in ((302, link), (404, None)):
            connection.request("GET", urlsplit(opened[0]).path)
            answer = connection.getresponse()
            answer.read()
            assert (answer.status, answer.headers["Location"]) == (status, location)
        connection.close()
        assert urlsplit(link).path.split("/")[1] not in opened[0]


@pytest.mark.parametrize(("slice_nm", "z", "position"), [(None, 3500, 3500.5), (16, 3493, 3493.5), (8, 6990, 3495.25)])
def test_the_first_slice_is_chosen(run: str, slice_nm: float | None, z: int, position: float) -> None:
    shown = Shown("run", remote(run).volume, slice_nm=slice_nm)
    assert shown.view(z)["position_vox"][2] == position


@pytest.mark.parametrize(("slice_nm", "z", "said"), [(None, 3583, "3493 to 3582"), (8, 6985, "6986 to 7165")])
def test_a_slice_that_the_volume_does_not_have_is_refused(run: str, slice_nm: float | None, z: int, said: str) -> None:
    with pytest.raises(UserError, match=f"--z {z}: run has the slices {said}"):
        Shown("run", remote(run).volume, slice_nm=slice_nm).view(z)


def viewing(*arguments: str, browser: str = "true") -> Iterator[str]:
    """Lines of `clio-argo view`, which ends with the block; errors are lines, too."""
    command = [CLI, "view", *arguments, "--port", "0"]
    environment = {**os.environ, "BROWSER": browser}
    with subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            yield from (line for line in process.stdout if "google_auth_provider" not in line)
        finally:
            process.kill()


@pytest.mark.properties
def test_the_command_opens_runs_in_buckets(gcs: Bucket, tmp_path: Path) -> None:
    run, asked = write_run(f"{gcs.url}/fly"), tmp_path / "asked"
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho $1 > {asked}.part && mv {asked}.part {asked}\n")
    browser.chmod(0o755)
    options = ("--z", "3495", "--layout", "xy", "--open", "--cache", str(tmp_path / "cache"))
    lines = viewing(run, write_run(str(tmp_path / "other")), *options, browser=f"{browser} %s")
    said = [next(lines) for _ in range(3)]
    assert [line.split(": ")[0] for line in said[:2]] == [run, str(tmp_path / "other")]
    state = page(said[2].strip())
    assert [layer["name"] for layer in state["layers"]] == ["fly", "other"]
    assert (state["layout"], state["position"][2]) == ("xy", 3495.5)
    report = next(lines).strip()
    assert next(lines) == "Ctrl-C ends it\n"
    with urlopen(report.removeprefix("report: ")) as answer:
        assert answer.read() == OBJECTS["report.html"]
    while not asked.exists():
        time.sleep(0.01)
    with urlopen(asked.read_text().strip()) as answer:
        assert answer.url.partition("#")[0] == said[2].partition("#")[0]
    source = state["layers"][0]["source"].removeprefix("precomputed://")
    with urlopen(f"{source}/s0/0.shard") as answer:
        assert answer.read() == SHARD
    kept = {file.read_bytes() for file in (tmp_path / "cache").iterdir()}
    assert kept == {SHARD, OBJECTS["report.html"]}
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    lines.close()  # type: ignore[attr-defined]


def test_what_cannot_be_viewed_is_said(
    gcs: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLIO_STORE_TRIES", "1")
    gcs.fault("GET .*private", 403, 1)
    for arguments, said in (
        ([gcs.url, "--layout", "flat"], f"use one of {', '.join(LAYOUTS)}"),
        ([f"{gcs.url}/none"], f"{gcs.url}/none/ng/info is not there"),
        ([f"{gcs.url}/private"], "no permission to read (403): storage.objects.get is missing"),
    ):
        monkeypatch.setattr(sys, "argv", ["clio-argo", "view", *arguments])
        with pytest.raises(SystemExit):
            main()
        assert said in capsys.readouterr().err


def test_a_volume_may_lie_elsewhere_than_its_run(gcs: Bucket, tmp_path: Path) -> None:
    write_run(f"{gcs.url}/run")
    viewer = {"buckets.viewer": f"{gcs.url}/run/ng"}
    for place in (str(tmp_path / "run"), f"{gcs.url}/other"):
        Store(place).write("config.json", build_request({"id": "fly", "source": "slices/"}, viewer).to_bytes())
        with serving(*runs_shown([place], None)) as link:
            path = urlsplit(page(link)["layers"][0]["source"].removeprefix("precomputed://")).path
            assert ask(link, f"/{path.split('/', 2)[2]}/s0/0.shard", Range="bytes=0-9")[:2] == (206, SHARD[:10])
