"""A person's decision: how it is written into a waiting workflow, and how it is read back."""

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Decision:
    """What was decided, and by whom. Only `approve` counts as yes: Argo accepts any other word."""

    value: str
    message: str

    @property
    def approved(self) -> bool:
        return self.value == APPROVE

    def __str__(self) -> str:
        return self.message or f"{self.value}, since nobody decided in time"


def decision_of(node: Node) -> Decision | None:
    """The decision, if this is the node where it was made."""
    value = node.outputs.named().get(DECISION)
    return Decision(value, node.message) if value is not None and node.phase in ENDED else None
