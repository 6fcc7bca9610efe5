"""The demo stack on a cluster: the same volume as on one machine, and what people see of it."""

import os
import re
import urllib.request
from pathlib import Path

import pytest

from clio_argo.argo.summary import summarise
from clio_argo.store.buckets import Bucket
from tests.browser import Browser
from tests.e2e.cluster import BUCKET, Cluster, Json, download, nodes, outputs
from tests.stacks import DEMO, contents, request, run_here

NAME = "demo"
OUT = f"{BUCKET}/runs/demo"
# a bucket that `submit` makes
VIEWER = f"{BUCKET}-viewer/demo"


@pytest.fixture(scope="module")
def said(cluster: Cluster, demo: str) -> str:
    """What `submit --wait` printed."""
    made = ("--set", f"buckets.viewer={VIEWER}", "--set", "make_buckets.location=us-east4")
    return cluster.submit(demo, OUT, "--set", "max_bad=1", *made, "--name", NAME, "--wait")


@pytest.fixture(scope="module")
def workflow(cluster: Cluster, said: str) -> Json:
    return cluster.workflow(NAME)


def test_the_volume_is_that_of_a_local_run(said: str, tmp_path: Path) -> None:
    here = run_here(request(DEMO, id="e2e", image="iso.%05d.png", max_bad=1), tmp_path / "here")
    there = download(f"{OUT}/", tmp_path / "there")
    local = contents(here)
    assert len(local) > 20
    assert contents(there) == local


def test_its_bucket_was_made_for_it(said: str) -> None:
    assert f"{BUCKET}-viewer was made in us-east4 (viewer)" in said
    found = Bucket(f"{BUCKET}-viewer").facts()
    assert (found.ours, found.public, found.location) == (True, False, "US-EAST4")
    assert found.cors


def test_the_last_line_says_what_to_do_next(said: str) -> None:
    assert "1 slice flagged" in said.splitlines()[-1]
    assert "https://" in said.splitlines()[-1]


def test_outputs_and_progress(workflow: Json) -> None:
    assert workflow["status"]["phase"] == "Succeeded"
    found = outputs(workflow)
    assert (found["volume"], found["flagged"], found["link"][:8]) == (VIEWER, "1", "https://")
    done, total = workflow["status"]["progress"].split("/")
    assert done == total


def test_small_runs_take_a_pod_behind_the_plan(cluster: Cluster, workflow: Json) -> None:
    pods = [n["templateName"] for n in workflow["status"]["nodes"].values() if n["type"] == "Pod"]
    assert sorted(pods) == ["all", "notify", "plan"]
    assert [s.name for s in summarise(workflow).stages] == ["plan", "all", "onExit"]
    assert re.search(r"all +Succeeded +1/1", cluster.clio("get", NAME))
    assert "has pods of: all, notify, plan" in cluster.clio("logs", NAME, "--step", "match")


@pytest.mark.browser
def test_the_report_opens_in_argo(cluster: Cluster, workflow: Json, tmp_path: Path) -> None:
    """Argo Server allows no scripts, and pictures of its own only."""
    server = os.environ["CLIO_ARGO_SERVER"]
    node = nodes(workflow, "all")[-1]["id"]
    place = f"artifact-files/{cluster.namespace}/workflows/{NAME}/{node}/outputs/report/index.html"
    with urllib.request.urlopen(f"http://{server}/{place}") as answer:
        assert "img-src 'self'" in answer.headers["Content-Security-Policy"]
    with Browser() as browser:
        blank = "[...document.images].filter(i => !i.naturalWidth).map(i => i.src)"
        # Argo Server fetches each picture from the store, and a busy machine may lose one
        for _ in range(3):
            page = browser.open(f"http://{server}/{place}")
            page.wait("document.readyState === 'complete'")
            if not (missing := page.evaluate(blank)):
                break
        assert missing == []
        assert page.evaluate("document.images.length") >= 6
        assert page.evaluate("document.querySelectorAll('figure.plot svg').length") > 0
        assert page.evaluate("document.querySelectorAll('canvas').length") == 0
        assert "flag" in page.evaluate("document.body.innerText").lower()
        page.screenshot(tmp_path / "report.png")


def test_logs_of_every_attempt_are_kept(workflow: Json) -> None:
    tries = [n for step in ("plan", "all", "notify") for n in nodes(workflow, step)]
    kept = [{a["name"] for a in n["outputs"]["artifacts"]} for n in tries]
    assert all("main-logs" in names for names in kept)
