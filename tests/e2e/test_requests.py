"""What cannot be aligned is refused at submit; what breaks later is named wherever people look."""

from pathlib import Path

import pytest

from tests.e2e.cluster import BUCKET, Cluster, nodes, upload
from tests.e2e.conftest import Receivers
from tests.stacks import FIRST, NAME, demo_slices, flip_a_bit, write_stack

BROKEN = FIRST + 3


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "stack", demo_slices(6))


def refused(cluster: Cluster, *arguments: object) -> str:
    """What a submission says that creates nothing."""
    before = len(cluster.objects("workflows"))
    said = cluster.submit(*map(str, arguments), check=False)
    assert len(cluster.objects("workflows")) == before
    return said


def test_a_bad_request(cluster: Cluster, small: str) -> None:
    said = refused(cluster, small, f"{BUCKET}/runs/bad", "--set", "contrast.clip_limt=0")
    assert "did you mean" in said


def test_a_missing_slice(cluster: Cluster, stack: Path) -> None:
    (stack / (NAME % BROKEN)).unlink()
    said = refused(cluster, upload(stack, f"{BUCKET}/sources/missing"), f"{BUCKET}/runs/bad")
    assert f"z {BROKEN}: missing" in said


def test_an_unreadable_source(cluster: Cluster, stack: Path) -> None:
    file = stack / (NAME % BROKEN)
    file.write_bytes(b"no image at all")
    said = refused(cluster, upload(stack, f"{BUCKET}/sources/unreadable"), f"{BUCKET}/runs/bad")
    assert f"z {BROKEN}" in said
    assert "unreadable" in said


def test_there_is_no_source(cluster: Cluster) -> None:
    assert "nowhere" in refused(cluster, f"{BUCKET}/nowhere", f"{BUCKET}/runs/bad")


@pytest.mark.whole_cluster
def test_a_bucket_far_from_the_nodes(cluster: Cluster, small: str) -> None:
    """Bytes that cross regions cost: those who may list nodes are told before anything is created."""
    label = "topology.kubernetes.io/region"
    cluster.kubectl("label", "nodes", "--all", f"{label}=europe-west4")
    try:
        said = cluster.submit(small, f"{BUCKET}/runs/far", "--server-dry-run")
    finally:
        cluster.kubectl("label", "nodes", "--all", f"{label}-")
    assert "is in US, the nodes are in europe-west4" in said


def test_a_slice_that_breaks_later(cluster: Cluster, stack: Path, receivers: Receivers) -> None:
    """Its header is fine, its pixels are not: the gate of solve stops the run, and everybody hears why."""
    flip_a_bit(stack / (NAME % BROKEN))
    source, out = upload(stack, f"{BUCKET}/sources/broken"), f"{BUCKET}/runs/broken"
    said = cluster.submit(source, out, "--name", "broken", "--wait", check=False)
    told = f"z {BROKEN}"
    assert told in said
    assert "--allow-bad-slices" in said
    assert any(told in n["message"] for n in nodes(cluster.workflow("broken"), "all"))
    assert len(nodes(cluster.workflow("broken"), "all")) == 1
    heard = [g for g in receivers.got if g["run"].startswith(out)]
    assert [h["outcome"] for h in heard] == ["failed"]
    assert told in heard[0]["text"]
