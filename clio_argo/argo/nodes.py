"""The nodes of a workflow's status: what Argo did, is doing, and why it stopped."""

import base64
import gzip
import json
import re
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from clio_argo.errors import UserError

Json = dict[str, Any]
BROKEN = frozenset({"Failed", "Error"})
ENDED = BROKEN | {"Succeeded", "Skipped", "Omitted"}
# Argo puts the container's name, the verdict and the exit code before what the container wrote
TOLD = re.compile(r"^\w+: (?:Error|OOMKilled) \(exit code (?P<code>\d+)\)(?:: )?", re.DOTALL)


class Stored(BaseModel):
    """Part of an object that others define: only what is read here, the rest is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class Parameter(Stored):
    name: str
    value: str | None = None


class Outputs(Stored):
    parameters: tuple[Parameter, ...] = ()

    def named(self) -> dict[str, str]:
        return {p.name: p.value for p in self.parameters if p.value is not None}


class Node(Stored):
    """One node: a pod, or what groups pods (all tries of a part, all parts of a task, the graph)."""

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
    def reason(self) -> str:
        """The message without what Argo writes before the container's own words."""
        own = TOLD.sub("", self.message).strip()
        return own or self.message

    @property
    def fraction(self) -> float:
        """How much of its own work a pod says it has done (0 to 1)."""
        done, _, total = self.progress.partition("/")
        if self.type == "Retry" or not (done.isdigit() and total.isdigit() and int(total)):
            return float(self.phase == "Succeeded")  # a Retry node counts what comes behind it, too
        return min(1.0, int(done) / int(total))


def nodes_of(workflow: Mapping[str, Any]) -> dict[str, Node]:
    """All nodes by id. Argo compresses them once a workflow is large, and undoes it when it shrinks.

    Raises:
        UserError: the nodes cannot be had from this object.
    """
    return {key: Node.model_validate(value) for key, value in raw_nodes(workflow).items()}


def raw_nodes(workflow: Mapping[str, Any]) -> dict[str, Json]:
    status = workflow.get("status") or {}
    name = workflow.get("metadata", {}).get("name", "")
    if status.get("offloadNodeStatusVersion"):
        raise UserError(
            f"workflow {name}: its node status lies in Argo's database; set ARGO_SERVER, so that Argo Server reads it"
        )
    packed = status.get("compressedNodes")
    return (unpack(packed, name) if packed else status.get("nodes")) or {}


def unpack(packed: str, name: str) -> dict[str, Json]:
    """Nodes from `compressedNodes`: base64 of gzip of JSON."""
    try:
        found: dict[str, Json] = json.loads(gzip.decompress(base64.b64decode(packed, validate=True)))
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"workflow {name}: its compressed node status cannot be read: {error}") from error
    return found


def pack(nodes: Mapping[str, Json]) -> str:
    """The inverse of `unpack`."""
    return base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
