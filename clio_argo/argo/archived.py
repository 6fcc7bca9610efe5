"""The logs of pods that are gone, which Argo keeps as artifacts where it is set up to."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from clio_argo.argo.logs import LogLine
from clio_argo.argo.nodes import Json, raw_nodes
from clio_argo.argo.pending import number
from clio_argo.errors import MissingInput

LOGS = "main-logs"
SCHEMES = {"gcs": "gs", "s3": "s3"}


def archived_lines(
    read: Callable[[Json, str], Iterator[str]], workflow: Json, pods: Collection[str]
) -> Iterator[LogLine]:
    """Lines that pods wrote, oldest pod first; `pods` are the numbers at the end of their names.

    Args:
        read: lines of the log of a node, as `Client.archived`.
        workflow: as the cluster returns it.
        pods: those whose logs are wanted.
    """
    nodes = [n for n in raw_nodes(workflow).values() if number(n["id"]) in pods and _artifact(n)]
    for node in sorted(nodes, key=lambda n: str(n.get("startedAt"))):
        name = workflow["metadata"]["name"]
        pod = f"{name}-{node['templateName']}-{number(node['id'])}"
        yield from (LogLine(pod, text) for text in read(workflow, node["id"]))


def archived_at(workflow: Json, node: str) -> tuple[str, str]:
    """Folder and name of the log that a node left.

    Raises:
        MissingInput: Argo kept none, or in a kind of store that is not read here.
    """
    found = _artifact(raw_nodes(workflow)[node]) or {}
    repository = (workflow["status"].get("artifactRepositoryRef") or {}).get("artifactRepository") or {}
    for kind, scheme in SCHEMES.items():
        if key := (found.get(kind) or {}).get("key"):
            bucket = found[kind].get("bucket") or (repository.get(kind) or {}).get("bucket", "")
            folder, _, name = key.rpartition("/")
            return f"{scheme}://{bucket}/{folder}", name
    raise MissingInput(f"node {node} left no log that can be read here")


def _artifact(node: Json) -> dict[str, Any] | None:
    artifacts = (node.get("outputs") or {}).get("artifacts") or []
    return next((a for a in artifacts if a["name"] == LOGS), None)
