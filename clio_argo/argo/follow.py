"""Watching a workflow until it has ended."""

import time
from collections.abc import Iterator

from clio_argo.argo.client import Client
from clio_argo.argo.faults import NotFound
from clio_argo.argo.summary import Summary, summarise
from clio_argo.argo.templates import selector
from clio_argo.errors import ClioError, TransientError

# parts take minutes; a table that is two seconds old is current, and 30 requests a minute are no load
EVERY_S = 2.0
# a running controller picks a workflow up within a second
UNTAKEN_S = 30.0
# outlasts a laptop that sleeps and an upgrade of the control plane
PATIENCE_S = 600.0
LATEST = "@latest"


class NoController(ClioError):
    """No controller has picked up a submitted workflow."""


def follow(client: Client, name: str) -> Iterator[Summary]:
    """Yield the workflow every two seconds, for the last time when it has ended.

    Raises:
        NoController: it has no status after 30 s.
        TransientError: the cluster has not answered for ten minutes.
    """
    began = answered = time.monotonic()
    while True:
        try:
            summary = summarise(client.get(name))
            answered = time.monotonic()
        except TransientError:
            if time.monotonic() - answered > PATIENCE_S:
                raise
            time.sleep(EVERY_S)
            continue
        yield summary
        if summary.ended:
            return
        if not summary.phase and time.monotonic() - began > UNTAKEN_S:
            raise NoController(untaken(client.namespace, name))
        time.sleep(EVERY_S)


def untaken(namespace: str, name: str) -> str:
    """The message about a workflow that no controller picks up."""
    return (
        f"workflow {name} was created in namespace {namespace}, but no controller has picked it up for "
        f"{UNTAKEN_S:.0f} s: is Argo's workflow-controller running, and does it watch this namespace? The workflow "
        f"starts as soon as one does; withdraw it with: clio-argo workflow delete {name} -n {namespace}"
    )


def named(client: Client, name: str) -> str:
    """The full name of a workflow: `@latest` stands for the newest one of the namespace."""
    if name != LATEST:
        return name
    for workflow in client.find(selector(), limit=1):
        return str(workflow["metadata"]["name"])
    raise NotFound(f"namespace {client.namespace} has no workflow of clio-argo")
