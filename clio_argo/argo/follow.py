"""Watching a workflow until it has ended."""

import time
from collections.abc import Iterator

from clio_argo.argo.client import Client
from clio_argo.argo.faults import NotFound
from clio_argo.argo.summary import Summary, summarise
from clio_argo.argo.templates import selector
from clio_argo.errors import ClioError, TransientError

EVERY_S = 2.0
# a controller takes up a workflow within a second
UNTAKEN_S = 30.0
# a laptop that sleeps, a control plane that is upgraded
PATIENCE_S = 600.0
LATEST = "@latest"


class NoController(ClioError):
    """Nobody takes up what was submitted."""


def follow(client: Client, name: str) -> Iterator[Summary]:
    """The workflow every two seconds, the last time when it has ended.

    Raises:
        NoController: it has no status after 30 s.
        TransientError: the cluster has not answered for ten minutes.
    """
    began = answered = time.monotonic()
    while True:
        try:
            found = summarise(client.get(name))
            answered = time.monotonic()
        except TransientError:
            if time.monotonic() - answered > PATIENCE_S:
                raise
            time.sleep(EVERY_S)
            continue
        yield found
        if found.ended:
            return
        if not found.phase and time.monotonic() - began > UNTAKEN_S:
            raise NoController(untaken(client.namespace, name))
        time.sleep(EVERY_S)


def untaken(namespace: str, name: str) -> str:
    return (
        f"workflow {name} was created in namespace {namespace}, but nobody has taken it up for {UNTAKEN_S:.0f} s: "
        "is Argo's workflow-controller running, and does it watch this namespace? The workflow starts when it "
        f"does; take it back with: clio-argo delete {name} -n {namespace}"
    )


def named(client: Client, name: str) -> str:
    """`@latest` is the newest workflow of the namespace."""
    if name != LATEST:
        return name
    found = client.find(selector())
    if not found:
        raise NotFound(f"namespace {client.namespace} has no workflow of clio-argo")
    return str(max(found, key=lambda w: w["metadata"]["creationTimestamp"])["metadata"]["name"])
