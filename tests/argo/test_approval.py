"""Two people cannot both decide: the patch holds for what was read only."""

import pytest

from clio_argo.argo.approval import decision_of, decision_patch
from clio_argo.argo.faults import Conflict
from clio_argo.argo.nodes import Node, unpack
from tests.argo.test_summary import compressed, recorded

NODE = "wa-3400230950"


def test_the_decision_is_written_only_where_the_node_still_waits() -> None:
    first, *rest = decision_patch(recorded("waiting"), NODE, "approve", "approve by ann")
    assert first == {"op": "test", "path": f"/status/nodes/{NODE}/phase", "value": "Running"}
    written = {change["path"].rpartition("/")[2]: change["value"] for change in rest}
    assert written["phase"] == "Succeeded"
    assert written["message"] == "approve by ann"
    assert written["outputs"]["parameters"][0]["value"] == "approve"


def test_compressed_nodes_are_exchanged_as_a_whole() -> None:
    workflow = compressed(recorded("waiting"))
    test, replace = decision_patch(workflow, NODE, "reject", "reject by bob")
    assert test == {"op": "test", "path": "/status/compressedNodes", "value": workflow["status"]["compressedNodes"]}
    nodes = unpack(replace["value"], "wa")
    assert nodes.pop(NODE)["message"] == "reject by bob"
    others = {k: n for k, n in recorded("waiting")["status"]["nodes"].items() if k != NODE}
    assert nodes == others


def test_the_second_to_decide_is_told_who_was_first() -> None:
    workflow = recorded("waiting")
    workflow["status"]["nodes"][NODE].update(phase="Succeeded", message="reject by bob")
    with pytest.raises(Conflict, match="reject by bob"):
        decision_patch(workflow, NODE, "approve", "approve by ann")


def node(kind: str, decision: str, message: str = "", reason: str = "") -> Node:
    values = {"decision": decision, "reason": reason}
    said = {"parameters": [{"name": n, "value": v} for n, v in values.items() if v]}
    return Node.model_validate(
        {"id": kind, "name": "wa.ask", "type": kind, "phase": "Succeeded", "message": message, "outputs": said}
    )


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([node("Suspend", "reject", "reject by bob")], "reject by bob"),
        ([node("Suspend", "reject")], "reject, because nobody decided in time"),
        ([node("Suspend", "none")], None),
        (
            [node("Suspend", "none"), node("DAG", "reject", reason="reject, because nobody decided within 72h")],
            "reject, because nobody decided within 72h",
        ),
        ([node("Suspend", "none", "Resumed by: ann"), node("DAG", "approve", reason="approve, resumed")],
         "Resumed by: ann"),
    ],
)  # fmt: skip
def test_a_decision_says_who_made_it_or_that_nobody_did(nodes: list[Node], told: str | None) -> None:
    found = decision_of(nodes)
    assert (str(found) if found else None) == told
