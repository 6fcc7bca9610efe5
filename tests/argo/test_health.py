"""Which nodes take a worker's pod, what they can give it, and which images are missing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.argo import health
from clio_argo.argo.settings import ClusterSettings, Image
from clio_argo.argo.workflow import workflow_template
from clio_argo.model.pod import QUANTITY

SPOT = {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"}
LABELS = {"cloud.google.com/gke-spot": "true"}
DIGEST = "sha256:" + "0" * 64


def node(memory: str = "16Gi", labels: dict[str, str] | None = None, *taints: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": {"labels": labels or {}},
        "spec": {"taints": list(taints)},
        "status": {"allocatable": {"memory": memory}},
    }


def pod(image: str, **state: Any) -> dict[str, Any]:
    return {"status": {"containerStatuses": [{"image": image, **state}]}}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """That of a cluster whose workers are spot nodes."""
    images = {n: Image(repository=n, digest=DIGEST) for n in ("align", "write")}
    return dict(workflow_template(cluster=ClusterSettings.gke(images=images)).to_dict())


def test_workers_go_where_labels_and_taints_let_them(template: dict[str, Any]) -> None:
    workers = health.workers_of(template)
    assert health.fits(node("16Gi", LABELS, SPOT), workers)
    assert not health.fits(node(), workers)
    assert not health.fits(node("16Gi", LABELS, {**SPOT, "key": "gpu"}), workers)
    assert health.fits(node("16Gi", LABELS, {**SPOT, "key": "gpu", "effect": "PreferNoSchedule"}), workers)
    assert health.memory_max_mib(workers) == ClusterSettings().memory_max_mib


@pytest.mark.parametrize(
    ("quantity", "mib"), [("16Gi", 16384), ("15883684Ki", 15511), ("8G", 7629), ("1073741824", 1024)]
)
def test_memory_is_read_as_kubernetes_writes_it(quantity: str, mib: int) -> None:
    assert health.largest_mib([node("1Gi"), node(quantity)]) == mib


def test_images_that_nodes_cannot_pull_are_named(template: dict[str, Any]) -> None:
    assert health.images_of(template) == {f"align@{DIGEST}", f"write@{DIGEST}"}
    waiting = {"reason": "ImagePullBackOff", "message": "no such tag"}
    assert health.unpulled([pod("a:1", state={"waiting": waiting}), pod("b:1", state={})]) == ["a:1: no such tag"]
    held = {"status": {"images": [{"names": ["docker.io/library/a:1", "a@sha256:1"]}]}}
    assert health.pulled([held], [pod("b:1", imageID="x"), pod("c:1", imageID="")]) == {"a:1", "a@sha256:1", "b:1"}


@pytest.mark.parametrize(
    ("location", "apart"),
    [("EUROPE-WEST4", False), ("EU", False), ("europe-west1", True), ("US", True), ("US-EAST1", True)],
)
def test_a_bucket_is_near_if_some_node_is_in_its_region(location: str, apart: bool) -> None:
    nodes = [node(), node("1Gi", {"topology.kubernetes.io/region": "europe-west4"})]
    assert health.regions_of(nodes) == {"europe-west4"}
    assert health.apart(health.regions_of(nodes), location) is apart


@given(st.from_regex(QUANTITY, fullmatch=True).filter(lambda text: len(text) < 64))
def test_every_quantity_that_a_setting_takes_is_a_number(quantity: str) -> None:
    assert health.amount(quantity) >= 0
    assert ClusterSettings(tmp_size=quantity).tmp_size == quantity


@pytest.mark.parametrize(
    ("quantity", "value"),
    [("500m", 0.5), ("1500n", 1.5e-6), ("2k", 2000), ("3Gi", 3 * 2**30), ("5Pi", 5 * 2**50), ("12e3", 12e3)],
)
def test_quantities_are_those_of_kubernetes(quantity: str, value: float) -> None:
    assert health.amount(quantity) == pytest.approx(value)


def test_kubernetes_has_no_large_k() -> None:
    with pytest.raises(ValueError, match="is not a quantity like 500m or 2Gi"):
        ClusterSettings(tmp_size="64K")
