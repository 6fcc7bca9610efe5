"""The Workflow object as Argo stores it: its phase, and the nodes of its status."""

import base64
import gzip
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from clio_argo.errors import UserError

Json = dict[str, Any]
BROKEN = frozenset({"Failed", "Error"})
ENDED = BROKEN | {"Succeeded", "Skipped", "Omitted"}
# the controller keeps this label up to date, so the API server can filter by it
PHASE_LABEL = "workflows.argoproj.io/phase"


class Stored(BaseModel):
    """Base of models of Argo's objects: fields that are not declared are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value)


class Parameter(Stored):
    """An argument or output of a node or workflow."""

    name: str
    # Argo reads numbers and booleans as text, too
    value: Annotated[str | None, BeforeValidator(_text)] = None


class Outputs(Stored):
    """The `outputs` of a node or workflow, or the `arguments` of a workflow."""

    parameters: tuple[Parameter, ...] = ()

    def named(self) -> dict[str, str]:
        """Values by name, without parameters that have none yet."""
        return {p.name: p.value for p in self.parameters if p.value is not None}


class Node(Stored):
    """One node: a pod, or a group of nodes (all tries of a part, all parts of a task, the graph)."""

    id: str
    name: str
    display_name: str = ""
    type: str = ""
    template_name: str = ""
    phase: str = ""
    message: str = ""
    progress: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    outputs: Outputs = Outputs()

    @property
    def fraction(self) -> float:
        """Share of its own work that the pod reports as done, 0 to 1."""
        done, _, total = self.progress.partition("/")
        # the progress of a Retry node includes all nodes behind it
        if self.type == "Retry" or not (done.isdigit() and total.isdigit() and int(total)):
            return float(self.phase == "Succeeded")
        return min(1.0, int(done) / int(total))


def has_ended(workflow: Json) -> bool:
    """Whether the workflow has ended, well or not."""
    return (workflow.get("status") or {}).get("phase") in ENDED


def with_phases(selector: str, phases: Sequence[str]) -> str:
    """The label selector, restricted to workflows in one of `phases`; no phases restrict nothing."""
    return ",".join(filter(None, [selector, f"{PHASE_LABEL} in ({','.join(phases)})" if phases else ""]))


def newest(workflows: Iterable[Json], limit: int | None) -> list[Json]:
    """The newest `limit` workflows, newest first; None keeps all."""
    # the API server's own limit counts in the order of names
    return sorted(workflows, key=lambda w: str(w["metadata"]["creationTimestamp"]), reverse=True)[:limit]


def nodes_of(workflow: Mapping[str, Any]) -> dict[str, Node]:
    """All nodes by id, whether they are compressed or not.

    Raises:
        UserError: the nodes are not in this object, or cannot be unpacked.
    """
    return {key: Node.model_validate(value) for key, value in raw_nodes(workflow).items()}


def raw_nodes(workflow: Mapping[str, Any]) -> dict[str, Json]:
    """The nodes as Argo wrote them, by id. Raises `UserError` as `nodes_of`."""
    status = workflow.get("status") or {}
    name = workflow.get("metadata", {}).get("name", "")
    if status.get("offloadNodeStatusVersion"):
        raise UserError(
            f"workflow {name}: its node status is in Argo's database; set ARGO_SERVER to read it through Argo Server"
        )
    # the controller compresses the nodes of a large workflow, and stops doing so when it shrinks
    packed = status.get("compressedNodes")
    return (unpack(packed, name) if packed else status.get("nodes")) or {}


def unpack(packed: str, name: str) -> dict[str, Json]:
    """Nodes from `compressedNodes` (base64 of gzip of JSON). Raises `UserError` if it is damaged."""
    try:
        nodes: dict[str, Json] = json.loads(gzip.decompress(base64.b64decode(packed, validate=True)))
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"workflow {name}: its compressed node status cannot be read: {error}") from error
    return nodes


def pack(nodes: Mapping[str, Json]) -> str:
    """The inverse of `unpack`."""
    return base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
