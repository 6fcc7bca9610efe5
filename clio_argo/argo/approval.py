"""The decision on a waiting workflow: how it is written into the workflow, and how it is read back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from clio_argo.argo.faults import Conflict
from clio_argo.argo.nodes import ENDED, Json, Node, pack, raw_nodes

APPROVE, REJECT = "approve", "reject"
DECISION = "decision"


def decision_patch(workflow: Mapping[str, Any], node: str, decision: str, message: str) -> list[Json]:
    """JSON patch that ends the waiting node with the id `node`.

    The patch fails on the server if the node was ended in the meantime, so only one decision counts.

    Raises:
        Conflict: the node no longer waits.
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
    # compressed nodes are one string, in which a patch cannot address a single node
    if packed := workflow["status"].get("compressedNodes"):
        return _exchange("/status/compressedNodes", packed, pack({**nodes, node: {**waiting, **changes}}))
    path = f"/status/nodes/{node}"
    rest = [{"op": "add", "path": f"{path}/{key}", "value": changes[key]} for key in changes if key != "phase"]
    return [*_exchange(f"{path}/phase", "Running", "Succeeded"), *rest]


def _exchange(path: str, old: str, new: str) -> list[Json]:
    return [{"op": "test", "path": path, "value": old}, {"op": "replace", "path": path, "value": new}]


@dataclass(frozen=True)
class Decision:
    """A decision and who made it."""

    value: str
    message: str

    @property
    def approved(self) -> bool:
        """Whether the volume may be made."""
        # Argo does not enforce the choices of a parameter, so any other word means no
        return self.value == APPROVE

    def __str__(self) -> str:
        return self.message or f"{self.value}, because nobody decided in time"


def decision_of(node: Node) -> Decision | None:
    """The decision made at this node; None if it is another node or still waits."""
    value = node.outputs.named().get(DECISION)
    return Decision(value, node.message) if value is not None and node.phase in ENDED else None
