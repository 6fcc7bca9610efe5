"""Why a workflow goes on, ends or does not start, as people see it: on a real controller, in one small installation."""

import os
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from clio_argo.argo.install import install
from clio_argo.argo.kube import KubeClient
from clio_argo.argo.manifests import manifests
from clio_argo.argo.submit import workflow
from clio_argo.argo.summary import Summary, summarise
from clio_argo.argo.templates import current_template
from tests.e2e.cluster import namespace
from tests.e2e.small import SETTINGS, SMALL

NAMESPACE = "clio-why"
pytestmark = [pytest.mark.e2e, pytest.mark.skipif("KUBECONFIG" not in os.environ, reason="needs a cluster")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[KubeClient]:
    """A namespace with the small template."""
    found = KubeClient.from_config(NAMESPACE)
    settings = SETTINGS.model_copy(update={"namespace": NAMESPACE})
    with namespace(NAMESPACE):
        list(install(found, [d for file in manifests(SMALL, settings).values() for d in file]))
        yield found


def start(cluster: KubeClient, name: str, **arguments: str) -> str:
    given = {"run": "gs://none/run", "config": '{"labels": {}}', **arguments}
    cluster.create(workflow(current_template(cluster)["metadata"]["name"], given, {"name": name}, {}))
    return name


def until(cluster: KubeClient, name: str, reached: Callable[[Summary], object], seconds: float = 90) -> Summary:
    end = time.monotonic() + seconds
    while not reached(found := summarise(cluster.get(name))):
        assert time.monotonic() < end, found
        time.sleep(1)
    return found


def resume(name: str, **body: str) -> None:
    """What the buttons of Argo's UI send."""
    server = f"http://{os.environ['CLIO_ARGO_SERVER']}/api/v1/workflows/{NAMESPACE}/{name}/resume"
    requests.put(server, json=body, timeout=10).raise_for_status()


def test_only_a_choice_or_the_time_that_ran_out_ends_a_run(cluster: KubeClient) -> None:
    ask = {"approval": "ask", "approval_otherwise": "reject"}
    names = [start(cluster, f"ask-{n}", **ask) for n in ("toolbar", "dialog", "reject")]
    late = start(cluster, "ask-late", **ask, approval_wait="1s")
    for name in names:
        until(cluster, name, lambda s: s.waiting)
    resume("ask-toolbar")
    resume("ask-dialog", nodeFieldSelector="displayName=decide")
    asked = summarise(cluster.get("ask-reject"))
    assert asked.waiting
    cluster.decide("ask-reject", asked.waiting.id, "reject", "reject by bob")
    ended = {name: until(cluster, name, lambda s: s.ended) for name in (*names, late)}
    assert {n: s.succeeded for n, s in ended.items()} == {
        "ask-toolbar": True, "ask-dialog": True, "ask-reject": False, "ask-late": False,
    }  # fmt: skip
    assert [ended[n].outputs["decision"] for n in ("ask-toolbar", "ask-late")] == ["approve", "reject"]
    assert str(ended["ask-late"].decision) == "reject, because nobody decided within 1s"
    skipped = next(n for n in cluster.get(late)["status"]["nodes"].values() if n["displayName"] == "publish")
    assert "because nobody decided within 1s" in skipped["message"]
