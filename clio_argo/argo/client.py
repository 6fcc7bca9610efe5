"""One interface to a cluster's workflows, whether through a kubeconfig or through Argo Server."""

import os
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from clio_argo.argo.logs import LogLine
from clio_argo.argo.nodes import Json

CURRENT = "clio-argo/current"
APP = {"app.kubernetes.io/name": "clio-argo"}


class Client(Protocol):
    """Workflows and their templates of one namespace.

    Every method raises `ClioError` that names the cluster, the thing and what to do: `NotFound`, `Refused` (no
    permission), `Conflict`, `TryAgain` (no answer, or the cluster is overloaded).
    """

    namespace: str

    def about(self) -> str:
        """What answers, and its version."""

    def create(self, workflow: Json, dry_run: bool = False) -> Json: ...

    def get(self, name: str) -> Json: ...

    def find(self, selector: str = "") -> Sequence[Json]:
        """Workflows with labels like `selector`; through Argo Server without their nodes."""

    def delete(self, name: str) -> None: ...

    def shut_down(self, name: str, how: Literal["Stop", "Terminate"]) -> None:
        """Start no more pods; Terminate ends the running ones, too, and skips the exit handler."""

    def suspend(self, name: str, on: bool) -> None:
        """Start no more pods until it is switched off again."""

    def decide(self, name: str, node: str, decision: str, message: str) -> None:
        """Set the decision of the waiting node with this id; `Conflict` if it waits no more."""

    def template(self, name: str) -> Json: ...

    def templates(self, selector: str = "") -> Sequence[Json]: ...

    def delete_template(self, name: str) -> None: ...

    def logs(self, name: str, follow: bool) -> Iterator[LogLine]:
        """What the steps of all pods that exist wrote; `follow` goes on until the workflow has ended."""


def connect(namespace: str | None = None) -> Client:
    """Argo Server if ARGO_SERVER names one, else the cluster of the kubeconfig (or the one this runs in)."""
    chosen = namespace or os.environ.get("ARGO_NAMESPACE") or None
    if os.environ.get("ARGO_SERVER"):
        from clio_argo.argo.server import ArgoServer

        return ArgoServer.from_environment(os.environ, chosen)
    from clio_argo.argo.kube import KubeClient

    return KubeClient.from_config(chosen)
