"""What people decide and hear: approval, rejection, stop and retry, mail and webhook."""

import re

from clio_argo.store.documents import Store
from tests.e2e.cluster import ASK, BUCKET, Cluster, nodes, outputs, waiting
from tests.e2e.conftest import Receivers


def made(out: str) -> list[str]:
    """Shards of the viewer volume; what describes it is there from solve on."""
    return [n for n in Store(out).names("ng") if n.endswith(".shard")]


def test_stopped_tried_again_and_approved(cluster: Cluster, small: str, receivers: Receivers) -> None:
    out = f"{BUCKET}/runs/approved"
    cluster.submit(small, out, *ASK, "--name", "approved", "--set", "notify.email=a@example.org")
    waiting(cluster, "approved")
    assert nodes(cluster.workflow("approved"), "render-publish") == []
    assert not made(out)
    cluster.clio("stop", "approved")
    assert cluster.ended("approved")["status"]["phase"] == "Failed"
    # another workflow of the same run
    again = re.search(r"approved-\w+", cluster.clio("retry", "approved"))
    assert again
    name = again.group()
    waiting(cluster, name)
    cluster.clio("approve", name)
    assert "does not wait for a decision" in cluster.clio("reject", name, check=False)
    said = cluster.clio("wait", name)
    assert outputs(cluster.workflow(name))["link"] in said
    heard = [g["outcome"] for g in receivers.got if g["run"].startswith(out)]
    assert heard[-1] == "complete"
    assert [m["To"] for m in receivers.sink.mails][-1] == "a@example.org"
    assert "complete" in receivers.sink.mails[-1]["Subject"]


def test_rejected(cluster: Cluster, small: str, receivers: Receivers) -> None:
    """It ends, no volume is made, and everything is kept for another try."""
    out = f"{BUCKET}/runs/rejected"
    cluster.submit(small, out, *ASK, "--name", "rejected")
    waiting(cluster, "rejected")
    cluster.clio("reject", "rejected")
    ended = cluster.ended("rejected")
    assert nodes(ended, "render-publish") == []
    assert Store(out).read("transforms.json") is not None
    assert not made(out)
    heard = [g for g in receivers.got if g["run"].startswith(out)]
    assert [h["link"] for h in heard] == [None]


def test_approved_too_late(cluster: Cluster, small: str) -> None:
    """Its run is another one's meanwhile: the pods behind the question do not work for that one."""
    out = f"{BUCKET}/runs/late"
    cluster.submit(small, out, *ASK, "--name", "late")
    waiting(cluster, "late")
    cluster.submit(small, out, "--set", "contrast.clip_limit=0.03", "--update", "--name", "newer", "--wait")
    before = Store(out).read("complete.json")
    cluster.clio("approve", "late")
    ended = cluster.ended("late")
    assert ended["status"]["phase"] == "Failed"
    assert len(nodes(ended, "render-publish")) == 1
    assert "another request replaced this one" in cluster.clio("get", "late")
    assert before is not None
    assert Store(out).read("complete.json") == before
