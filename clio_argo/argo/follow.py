"""Watching a workflow until it has ended."""

import math
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

from clio_argo.argo.client import Client
from clio_argo.argo.faults import NotFound, Refused
from clio_argo.argo.nodes import Json, has_ended
from clio_argo.argo.summary import Summary, has_unstarted, pods_of, summarise
from clio_argo.argo.templates import selector
from clio_argo.errors import ClioError, TransientError

# parts take minutes; a table that is two seconds old is current, and 30 requests a minute are no load
EVERY_S = 2.0
# two lists of the cluster's API; people learn within 15 s why a pod does not start
LOOK_S = 6.0
# a running controller picks a workflow up within a second
UNTAKEN_S = 30.0
# outlasts a laptop that sleeps and an upgrade of the control plane
PATIENCE_S = 600.0
LATEST = "@latest"


class NoController(ClioError):
    """No controller has picked up a submitted workflow."""


class NotStarting(TransientError):
    """No pod of a workflow has started for longer than somebody wants to wait."""


def look(client: Client, name: str) -> Summary:
    """The workflow now, with the reasons why pods do not start."""
    workflow = client.get(name)
    return summarise(workflow, client.unstarted(name) if has_unstarted(workflow) else {})


def look_at_all(client: Client, listed: Sequence[Json]) -> list[Summary]:
    """Listed workflows of any namespaces, with the reasons why pods do not start where this account may see them."""
    homes = {home: client.within(home) for home in map(_home, listed)}
    whole = [_whole(homes[_home(workflow)], workflow) for workflow in listed]
    # workflows of one name in two namespaces have pods of the same numbers
    told = {home: homes[home].unstarted() for home in {_home(w) for w in whole if has_unstarted(w)}}
    return [summarise(workflow, told.get(_home(workflow))) for workflow in whole]


def _home(workflow: Json) -> str:
    return str(workflow["metadata"].get("namespace", ""))


def _whole(client: Client, workflow: Json) -> Json:
    """A workflow that runs with its nodes, without which Argo Server lists it, if this account may see them."""
    status = workflow.get("status") or {}
    missing = not has_ended(workflow) and not {"nodes", "compressedNodes"} & status.keys()
    try:
        return client.get(workflow["metadata"]["name"]) if missing and status else workflow
    except (NotFound, Refused):
        return workflow


def follow(client: Client, name: str, pending_limit: timedelta | None = None) -> Iterator[Summary]:
    """Yield the workflow every two seconds, for the last time when it has ended.

    Raises:
        NoController: it has no status after 30 s.
        NotStarting: no pod has run or started for `pending_limit`, and nobody is asked.
        TransientError: the cluster has not answered for ten minutes.
    """
    began = moved = time.monotonic()
    before = set[str]()
    for workflow, summary in _snapshots(client, name):
        yield summary
        if summary.ended:
            return
        now, started = time.monotonic(), pods_of(workflow)
        if not summary.phase and now - began > UNTAKEN_S:
            raise NoController(untaken(client.namespace, name))
        if started != before or summary.goes_on:
            moved, before = now, started
        if pending_limit and now - moved > pending_limit.total_seconds():
            raise NotStarting(_standing(summary, pending_limit))
        time.sleep(EVERY_S)


def _snapshots(client: Client, name: str) -> Iterator[tuple[Json, Summary]]:
    """The workflow whenever the cluster answers, with its summary. Pods are looked at more rarely than nodes."""
    answered, looked, told = time.monotonic(), -math.inf, dict[str, str]()
    while True:
        try:
            workflow = client.get(name)
            if has_unstarted(workflow) and time.monotonic() - looked > LOOK_S:
                told, looked = client.unstarted(name), time.monotonic()
        except TransientError:
            if time.monotonic() - answered > PATIENCE_S:
                raise
            time.sleep(EVERY_S)
            continue
        answered = time.monotonic()
        yield workflow, summarise(workflow, told)


def _standing(summary: Summary, limit: timedelta) -> str:
    reasons = [f"  {r.node}: {r.reason}" for r in (*summary.pending, *summary.retried)] or [f"  {summary.message}"]
    return "\n".join([
        f"no pod of workflow {summary.name} has started for {limit.total_seconds() / 60:g} min:", *reasons[:3],
        "it stays in the cluster and goes on when that is mended; --pending-limit sets how long this command waits",
    ])  # fmt: skip


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
