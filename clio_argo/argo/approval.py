"""The decision on a waiting workflow: how it is written into the workflow, and how it is read back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from clio_argo.argo.faults import Conflict
from clio_argo.argo.nodes import ENDED, Json, Node, pack, raw_nodes

APPROVE, REJECT = "approve", "reject"
# what the waiting node says if it ended without a choice: it was resumed, or its time is over
NONE = "none"
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


def decision_of(nodes: Iterable[Node]) -> Decision | None:
    """The decision that a workflow's nodes hold; None while nobody was asked or the question waits."""
    said = [n for n in nodes if n.phase in ENDED and DECISION in n.outputs.named()]
    # the graph around the question concludes; templates of version 0.1 have the question only
    final = min(said, key=lambda n: n.type == "Suspend", default=None)
    if final is None or (outputs := final.outputs.named())[DECISION] == NONE:
        return None
    words = next((n.message for n in said if n.message), "") or outputs.get("reason", "")
    return Decision(outputs[DECISION], words)
