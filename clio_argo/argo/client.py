"""One interface to the workflows of a cluster, through a kubeconfig or through Argo Server."""

import os
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from clio_argo.argo.logs import LogLine
from clio_argo.argo.nodes import Json

CURRENT = "clio-argo/current"
# what Argo's UI shows of a template beside or instead of its name
TITLE, DESCRIPTION = (f"workflows.argoproj.io/{what}" for what in ("title", "description"))
INSTANCE = "app.kubernetes.io/instance"
APP = {"app.kubernetes.io/name": "clio-argo"}


class Client(Protocol):
    """Workflows and their templates in one namespace.

    Every method raises a `ClioError` that names the cluster, the object and what to do: `NotFound`, `Refused` (no
    permission), `Conflict`, `TransientError` (no answer, or the cluster is overloaded).
    """

    namespace: str

    def within(self, namespace: str) -> "Client":
        """The same cluster and account in another namespace."""

    def about(self) -> str:
        """The server that answers, and its version."""

    def create(self, workflow: Json, dry_run: bool = False) -> Json:
        """Create a workflow and return it; a dry run only lets the server check it."""

    def get(self, name: str) -> Json:
        """The workflow with this name."""

    def find(
        self, selector: str = "", everywhere: bool = False, phases: Sequence[str] = (), limit: int | None = None
    ) -> Sequence[Json]:
        """The newest `limit` workflows, newest first; through Argo Server without their nodes.

        Args:
            selector: label selector, as `kubectl get -l` takes it.
            everywhere: search all namespaces instead of the client's own.
            phases: only workflows in one of these phases, e.g. Running or Failed.
            limit: None returns all.
        """

    def unstarted(self, name: str = "") -> dict[str, str]:
        """Why pods of a workflow, or of the namespace, do not start, by the number at the end of their names.

        Tells less where this account may not see events.
        """

    def delete(self, name: str) -> None:
        """Delete a workflow and its pods."""

    def shut_down(self, name: str, how: Literal["Stop", "Terminate"]) -> None:
        """Start no more pods. Terminate also kills the running ones and skips the exit handler."""

    def suspend(self, name: str, on: bool) -> None:
        """Start no more pods until this is switched off again."""

    def decide(self, name: str, node: str, decision: str, message: str) -> None:
        """Set the decision of the waiting node with this id. Raises `Conflict` if it no longer waits."""

    def template(self, name: str) -> Json:
        """The template with this name."""

    def templates(self, selector: str = "") -> Sequence[Json]:
        """Templates of the namespace that match a label selector."""

    def delete_template(self, name: str) -> None:
        """Delete a template."""

    def logs(self, name: str, follow: bool) -> Iterator[LogLine]:
        """Log lines of the steps of all pods that exist; `follow` continues until the workflow has ended."""

    def archived(self, workflow: Json, node: str) -> Iterator[str]:
        """Lines of the log that Argo kept of a node. Raises `ClioError` if it cannot be read."""


def connect(namespace: str | None = None, context: str | None = None, kubeconfig: str | None = None) -> Client:
    """A client of Argo Server if ARGO_SERVER is set, else of the kubeconfig's cluster or the one this runs in.

    A given context or kubeconfig takes precedence over ARGO_SERVER, and `namespace` over ARGO_NAMESPACE.

    Raises:
        UserError: no cluster is configured.
    """
    namespace = namespace or os.environ.get("ARGO_NAMESPACE") or None
    if os.environ.get("ARGO_SERVER") and not (context or kubeconfig):
        from clio_argo.argo.server import ArgoServer

        return ArgoServer.from_environment(os.environ, namespace)
    from clio_argo.argo.kube import KubeClient

    return KubeClient.from_config(namespace, context, kubeconfig)
