"""A person's decision: how it is written into a waiting workflow, and how it is read back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from clio_argo.argo.faults import Conflict
from clio_argo.argo.nodes import ENDED, Json, Node, pack, raw_nodes

APPROVE, REJECT = "approve", "reject"
DECISION = "decision"


def decision_patch(workflow: Mapping[str, Any], node: str, decision: str, message: str) -> list[Json]:
    """JSON patch that ends the waiting node with this id; it holds only if nobody has ended it meanwhile.

    Raises:
        Conflict: the node waits no more.
    """
    nodes = raw_nodes(workflow)
    waiting = nodes.get(node) or {}
    if waiting.get("phase") != "Running":
        raise Conflict(f"somebody decided before: {waiting.get('message') or 'no reason given'}")
    changes = {
        "phase": "Succeeded",
        "finishedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "message": message,
        "outputs": {"parameters": [{"name": DECISION, "value": decision, "valueFrom": {"supplied": {}}}]},
    }
    if packed := workflow["status"].get("compressedNodes"):
        return _exchange("/status/compressedNodes", packed, pack({**nodes, node: {**waiting, **changes}}))
    at = f"/status/nodes/{node}"
    rest = [{"op": "add", "path": f"{at}/{key}", "value": changes[key]} for key in changes if key != "phase"]
    return [*_exchange(f"{at}/phase", "Running", "Succeeded"), *rest]


def _exchange(path: str, old: str, new: str) -> list[Json]:
    return [{"op": "test", "path": path, "value": old}, {"op": "replace", "path": path, "value": new}]


def rejection(node: Node) -> str:
    """Who or what rejected, if this is the node where it was done. Only `approve` counts as yes."""
    if node.type != "Suspend" or node.phase not in ENDED:
        return ""
    decision = node.outputs.named().get(DECISION, APPROVE)
    return "" if decision == APPROVE else node.message or f"the decision was {decision!r}"
