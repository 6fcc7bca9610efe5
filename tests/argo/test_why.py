"""Why a pod does not start, fails or is tried again, from statuses and events as Kubernetes and Argo write them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from clio_argo.argo import follow as following
from clio_argo.argo.client import Client
from clio_argo.argo.faults import Refused
from clio_argo.argo.follow import NotStarting, follow, look_at_all
from clio_argo.argo.pending import reasons
from clio_argo.argo.summary import summarise
from clio_argo.argo.why import Reason, clearest
from clio_argo.cli.cluster_show import conclusion
from tests.argo.test_summary import recorded

Json = dict[str, Any]
POD, NUMBER = "wa-reduce-123", "123"
UNPLACED = "0/3 nodes are available: 3 Insufficient memory."
NO_SECRET = 'MountVolume.SetUp failed for volume "key" : secret "no-such" not found'
BACK_OFF = 'Back-off pulling image "127.0.0.1:9/none:1"'
QUOTA = 'pods "wa-reduce-123" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1'


def waiting(reason: str, message: str = "") -> Json:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def pod(**status: Any) -> Json:
    return {"metadata": {"name": POD, "namespace": "em"}, "status": {"phase": "Pending", **status}}


def event(reason: str, message: str, at: str = "2026-11-29T19:00:00Z") -> Json:
    involved = {"kind": "Pod", "name": POD, "namespace": "em"}
    return {"type": "Warning", "reason": reason, "message": message, "lastTimestamp": at, "involvedObject": involved}


USUAL = {"initContainerStatuses": [], "containerStatuses": [waiting("PodInitializing")]}
PENDING: dict[str, tuple[Json, list[Json], str]] = {
    "image": (pod(containerStatuses=[waiting("ImagePullBackOff", BACK_OFF)]), [], f"ImagePullBackOff: {BACK_OFF}"),
    "image of Argo's own container": (
        pod(initContainerStatuses=[waiting("ErrImagePull", "no host")], containerStatuses=[waiting("PodInitializing")]),
        [], "ErrImagePull: no host",
    ),
    "no node": (
        pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": UNPLACED}]),
        [event("FailedScheduling", "older words")], f"Unschedulable: {UNPLACED}",
    ),
    "a node was found since": (pod(**USUAL), [event("FailedScheduling", UNPLACED)], ""),
    "secret of a volume": (
        pod(**USUAL), [event("FailedMount", "x", "2026-11-29T18:00:00Z"), event("FailedMount", NO_SECRET)],
        f"FailedMount: {NO_SECRET} in namespace em",
    ),
    "secret of a variable": (
        pod(containerStatuses=[waiting("CreateContainerConfigError", 'secret "no-such" not found')]), [],
        'CreateContainerConfigError: secret "no-such" not found in namespace em',
    ),
    "nothing": (pod(**USUAL), [], ""),
}  # fmt: skip


@pytest.mark.parametrize("what", PENDING)
def test_a_pod_that_does_not_start_says_why(what: str) -> None:
    status, events, told = PENDING[what]
    assert reasons([status], events) == ({NUMBER: told} if told else {})


def last_try(workflow: Json) -> Json:
    """The newest pod of a part that runs."""
    pods = [n for n in workflow["status"]["nodes"].values() if n["type"] == "Pod" and n["phase"] == "Running"]
    return dict(pods[0])


def changed(name: str, **changes: Any) -> tuple[Json, Json]:
    workflow = recorded(name)
    node = last_try(workflow)
    node.update(changes)
    workflow["status"]["nodes"][node["id"]] = node
    return workflow, node


@pytest.mark.parametrize(
    ("own", "told", "seen"),
    [
        (QUOTA, "", QUOTA),
        ("PodInitializing", "ErrImagePull: no host", "ErrImagePull: no host"),
        ("PodInitializing", "", None),
    ],
)
def test_argos_words_and_those_of_the_pod_are_put_together(own: str, told: str, seen: str | None) -> None:
    workflow, node = changed("running", phase="Pending", message=own)
    found = summarise(workflow, {node["id"].rpartition("-")[2]: told} if told else {})
    assert [r.reason for r in found.pending] == ([seen] if seen else [])


def test_a_part_that_is_tried_again_tells_the_last_failure_and_the_count() -> None:
    workflow, _ = changed("running", phase="Error", message="pods is forbidden: no account")
    found = summarise(workflow)
    assert [r.reason for r in found.retried] == ["pods is forbidden: no account (failed 1 time)"]
    assert found.failures == ()


CLEAREST: dict[str, tuple[tuple[str, ...], str]] = {
    "a step's own words": (("main: Error (exit code 2): slice 17", "No more retries left"), "slice 17"),
    "two lines": (("main: Error (exit code 2): two:\n  - a\n  - b",), "two:\n  - a\n  - b"),
    "stopped": (
        ("main: Error (exit code 143): stopped by SIGTERM; the next try continues", "Stopped with strategy 'Stop'"),
        "Stopped with strategy 'Stop'",
    ),
    "deadline": (
        ("pod deleted", "retry exceeded workflow deadline 2026-11-29 19:00:00 +0000 UTC"),
        "retry exceeded workflow deadline 2026-11-29 19:00:00 +0000 UTC (setting deadlineHours of the installation)",
    ),
    "limit of a try": (
        ("Pod was active on the node longer than the specified deadline", "No more retries left"),
        "Pod was active on the node longer than the specified deadline (setting stepTimeout of the installation)",
    ),
    "an earlier try knows": (("pod deleted", "main: OOMKilled (exit code 137)"), "main: OOMKilled (exit code 137)"),
    "nobody knows": (("pod deleted", "No more retries left"), "pod deleted"),
}


@pytest.mark.parametrize("what", CLEAREST)
def test_no_message_is_replaced_by_a_worse_one(what: str) -> None:
    messages, told = CLEAREST[what]
    workflow = recorded("running")
    node = next(iter(summarise_nodes(workflow)))
    assert clearest([node.model_copy(update={"message": m}) for m in messages]) == told


def summarise_nodes(workflow: Json) -> list[Any]:
    from clio_argo.argo.nodes import nodes_of

    return list(nodes_of(workflow).values())


def test_nothing_runs_in_a_workflow_that_was_stopped() -> None:
    workflow = recorded("running")
    workflow["status"].update(phase="Failed", message="Stopped with strategy 'Stop'")
    found = summarise(workflow)
    assert {s.phase for s in found.stages} == {"Succeeded", "Stopped", ""}
    assert not any(s.running for s in found.stages)
    assert (found.waiting, found.pending, found.retried) == (None, (), ())


def test_the_last_line_keeps_the_lines_of_a_message() -> None:
    workflow = recorded("failed")
    for node in workflow["status"]["nodes"].values():
        node["message"] = "main: Error (exit code 2): two things:\n  - this\n  - that"
    assert "two things:\n      - this\n      - that\n" in conclusion(summarise(workflow))


class Stuck:
    """A client whose workflow has one pod that never starts."""

    namespace = "em"

    def __init__(self, workflow: Json, told: Mapping[str, str] | None = None, hidden: str = "") -> None:
        self.workflow, self.told, self.hidden = workflow, told or {}, hidden

    def within(self, namespace: str) -> "Stuck":
        found = Stuck(self.workflow, {pod: f"{why} in {namespace}" for pod, why in self.told.items()}, self.hidden)
        found.namespace = namespace
        return found

    def get(self, name: str) -> Json:
        if self.namespace == self.hidden:
            raise Refused("workflows may not be read here")
        return {**self.workflow, "metadata": {**self.workflow["metadata"], "namespace": self.namespace}}

    def unstarted(self, name: str = "") -> Mapping[str, str]:
        return self.told


def test_the_list_tells_it_too_where_the_server_lists_no_nodes() -> None:
    """Of each namespace that may be read: workflows of one name have pods of the same numbers there."""
    workflow, node = changed("running", phase="Pending", message="PodInitializing")
    told = {node["id"].rpartition("-")[2]: "ErrImagePull: x"}
    client: Client = Stuck(workflow, told, hidden="secret")  # type: ignore[assignment]
    status = {k: v for k, v in workflow["status"].items() if k != "nodes"}
    listed = [
        {**workflow, "metadata": {**workflow["metadata"], "namespace": namespace}, "status": status}
        for namespace in ("em", "lab", "secret")
    ]
    rows = look_at_all(client, listed)
    assert [[r.reason for r in row.pending] for row in rows] == [
        ["ErrImagePull: x in em"],
        ["ErrImagePull: x in lab"],
        [],
    ]
    assert [row.namespace for row in rows] == ["em", "lab", "secret"]


def test_waiting_ends_when_no_pod_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "EVERY_S", 0.01)
    workflow = recorded("running")
    for node in workflow["status"]["nodes"].values():
        if node["type"] == "Pod" and node["phase"] == "Running":
            node.update(phase="Pending", message=QUOTA)
    client: Client = Stuck(workflow)  # type: ignore[assignment]
    with pytest.raises(NotStarting, match="exceeded quota: few") as ended:
        list(follow(client, "wa", timedelta(seconds=0.05)))
    assert ended.value.exit_code == 75
    assert Reason("reduce(1:x)", QUOTA).kind == "reduce forbidden"
