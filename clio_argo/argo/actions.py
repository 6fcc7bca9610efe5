"""Actions on an existing workflow. Each returns the name of the workflow to look at next."""

import getpass
from typing import Literal

from clio_argo.argo.approval import APPROVE, REJECT
from clio_argo.argo.client import Client
from clio_argo.argo.nodes import Json
from clio_argo.argo.submit import again
from clio_argo.argo.summary import Summary, summarise
from clio_argo.argo.templates import continuing, reference, release_of, selector, successor, version_of
from clio_argo.errors import UserError


def retry(client: Client, name: str) -> str:
    """Create a workflow that continues a failed one with the same arguments and, if that can work, the same template.

    Raises:
        UserError: the workflow did not fail, or neither its template nor the current one continues it.
    """
    workflow = client.get(name)
    summary = summarise(workflow)
    if not summary.ended:
        raise UserError(f"workflow {name} has not ended ({summary.phase or 'not picked up yet'}): nothing to retry")
    if summary.succeeded:
        raise UserError(f"workflow {name} succeeded: nothing to retry; clio-argo workflow resubmit runs it again")
    templates = [t for t in client.templates(selector()) if release_of(t) == release_of(workflow)]
    return _created(client, again(workflow, continuing(summary.template, templates, version_of(workflow))))


def resubmit(client: Client, name: str) -> str:
    """Create a workflow with the arguments of another one and the current template of its release."""
    earlier = client.get(name)
    return _created(client, again(earlier, reference(successor(client, earlier))))


def stop(client: Client, name: str) -> str:
    """Stop gracefully: pods are asked to stop, and notifications are sent."""
    return _shut_down(client, name, "Stop")


def terminate(client: Client, name: str) -> str:
    """Stop at once, without the last step."""
    return _shut_down(client, name, "Terminate")


def suspend(client: Client, name: str) -> str:
    """Start no more pods; running ones continue."""
    _running(client, name)
    client.suspend(name, True)
    return name


def resume(client: Client, name: str) -> str:
    """Let a suspended workflow continue.

    Raises:
        UserError: it is not suspended, or waits for a decision.
    """
    summary = _running(client, name)
    # Argo Server's resume also ends a waiting approval, with its default
    if summary.waiting:
        raise UserError(f"workflow {name} waits for a decision: use clio-argo workflow approve {name}, or reject")
    if not summary.suspended:
        raise UserError(f"workflow {name} is not suspended")
    client.suspend(name, False)
    return name


def delete(client: Client, name: str) -> str:
    """Remove a workflow and its pods; what it wrote stays."""
    client.delete(name)
    return name


def approve(client: Client, name: str) -> str:
    """Let a waiting workflow make the volume. Raises `UserError` if it waits for no decision."""
    return _decide(client, name, APPROVE)


def reject(client: Client, name: str) -> str:
    """End a waiting workflow without a volume. Raises `UserError` if it waits for no decision."""
    return _decide(client, name, REJECT)


def _decide(client: Client, name: str, decision: str) -> str:
    summary = _running(client, name)
    if not summary.waiting:
        raise UserError(f"workflow {name} does not wait for a decision: {summary.decision or 'none is due now'}")
    client.decide(name, summary.waiting.id, decision, f"{decision} by {getpass.getuser()}")
    return name


def _shut_down(client: Client, name: str, how: Literal["Stop", "Terminate"]) -> str:
    _running(client, name)
    client.shut_down(name, how)
    return name


def _running(client: Client, name: str) -> Summary:
    summary = summarise(client.get(name))
    if summary.ended:
        raise UserError(f"workflow {name} has ended ({'rejected' if summary.rejected else summary.phase})")
    return summary


def _created(client: Client, workflow: Json) -> str:
    return str(client.create(workflow)["metadata"]["name"])
