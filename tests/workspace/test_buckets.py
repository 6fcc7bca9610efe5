"""Whole runs from and to buckets: the same bytes as on local files."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from rich.console import Console

from clio_argo.cli.views import provenance, run_view
from clio_argo.errors import MissingBucket
from clio_argo.model.layout import COMPLETE
from clio_argo.model.run import Completion
from clio_argo.model.step import StepResult
from clio_argo.notify import outcome
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.viewer.url import PUBLIC_HOST
from clio_argo.workspace.run import Run
from tests.proxy import disturbed
from tests.stacks import FIRST, contents, demo_slices, plain, request, run_here, write_stack
from tests.stores import Bucket

SLICES = demo_slices(4, 96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stack(tmp_path_factory.mktemp("slices"), SLICES)


@pytest.fixture(scope="module")
def local(folder: Path) -> dict[str, str]:
    """What a run on local files gives."""
    return contents(run_here(request(folder), folder.parent / f"{folder.name}-run"))


def upload(folder: Path, url: str) -> str:
    store = Store(url)
    for file in folder.iterdir():
        store.write(file.name, file.read_bytes())
    return url


@pytest.mark.properties
def test_slices_of_this_machine_become_volumes_in_a_bucket(folder: Path, local: dict[str, str], bucket: Bucket) -> None:
    assert contents(run_here(request(folder), f"{bucket.url}/runs/fly")) == local


def test_slices_of_a_bucket_become_volumes_here(
    folder: Path, local: dict[str, str], bucket: Bucket, tmp_path: Path
) -> None:
    source = upload(folder, f"{bucket.url}/a b")
    assert contents(run_here(request(source), tmp_path)) == local


def test_a_file_of_many_pages_is_read_from_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    file = tmp_path / "stack.tif"
    tifffile.imwrite(file, np.stack([*SLICES.values()]), photometric="minisblack")
    here = contents(run_here(plain(file), tmp_path / "here"))
    Store(bucket.url).write("stack.tif", file.read_bytes())
    Store(bucket.url).write("stack.tif.bak", b"another object with this beginning")
    assert contents(run_here(plain(f"{bucket.url}/stack.tif"), tmp_path / "there")) == here


@pytest.mark.properties
def test_a_bucket_that_is_gone_for_a_while_is_named_and_the_run_goes_on(
    folder: Path, local: dict[str, str], bucket: Bucket
) -> None:
    out, store = f"{bucket.url}/run", Store(bucket.url)
    run_here(request(folder), out, stop_before="render")
    kept = {name: store.need(name) for name in store.names()}
    for name in kept:
        store.delete(name)
    bucket.remove()
    with pytest.raises(MissingBucket, match=rf"{out}/.*there is no bucket {bucket.url} \(404\)"):
        run_here(request(folder), out)
    bucket.make()
    for name, data in kept.items():
        store.write(name, data)
    results: dict[str, StepResult] = {}
    assert contents(run_here(request(folder), out, results=results)) == local
    assert [results[step].counts.done for step in ("reduce", "match", "render")] == [0, 0, 1]


@pytest.mark.properties
def test_a_run_finishes_on_a_store_that_stumbles(
    folder: Path, local: dict[str, str], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with disturbed(bucket.server.endpoint) as proxy:
        for name, value in replace(bucket.server, endpoint=proxy.endpoint).variables.items():
            monkeypatch.setenv(name, value)
        run_here(request(folder), f"{bucket.url}/run", stop_before="render")
        proxy.left.extend(["503", "none", "reset", "none", "429"])
        run_here(request(folder), f"{bucket.url}/run")
        assert not proxy.left
        assert contents(f"{bucket.url}/run") == local


@pytest.mark.properties
@pytest.mark.parametrize("private", [True, False])
def test_the_end_says_how_a_volume_is_opened(folder: Path, gcs: Bucket, private: bool) -> None:
    config, out = plain(folder, maxz=FIRST + 1, resolution=(8, 8, 8)), f"{gcs.url}/my fly"
    run_here(config, out, stop_before="publish")
    gcs.fault("GET .*ng%2Finfo.* anonymous", 401, int(private))
    results = dict[str, StepResult]()
    store = Store(run_here(config, out, results=results))
    done = store.document(Completion, COMPLETE)
    opens = f"clio-argo view '{out}'"
    assert (done.link == opens) == private
    assert done.link.startswith(opens if private else f"{PUBLIC_HOST}/#!")
    assert results["publish"].published["link"] == done.link
    assert f"look at it: {done.link}" in outcome(Run(store, PIPELINE["publish"], PIPELINE), None, {}).text
    page = store.need("report.html").decode()
    assert ("To open it in neuroglancer: <code>clio-argo view" in page) == private
    shown = Console(width=10_000, file=io.StringIO())
    shown.print(*run_view(done, store, {}), *provenance(done))
    assert shown.file.getvalue().count(done.link) == 2 - private
    assert shown.file.getvalue().count("clio-argo view") == 2 * private
