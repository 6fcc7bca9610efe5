"""What can be done to a workflow that exists. Each returns the name of the workflow to look at next."""

import getpass

from clio_argo.argo.approval import APPROVE, REJECT
from clio_argo.argo.client import Client
from clio_argo.argo.nodes import Json
from clio_argo.argo.submit import again
from clio_argo.argo.summary import Summary, summarise
from clio_argo.argo.templates import current_template, reference
from clio_argo.errors import UserError


def retry(client: Client, name: str) -> str:
    """Create a workflow that goes on with one that failed. What is done is in the run's folder, not in Argo.

    Raises:
        UserError: it did not fail, or its template was pruned.
    """
    workflow = client.get(name)
    found = summarise(workflow)
    if not found.ended:
        raise UserError(f"workflow {name} has not ended ({found.phase or 'not taken up'}): nothing to retry")
    if found.succeeded:
        raise UserError(f"workflow {name} succeeded: nothing to retry; clio-argo resubmit runs it once more")
    client.template(found.template)
    return _created(client, again(workflow, found.template))


def resubmit(client: Client, name: str) -> str:
    """Create a workflow with the arguments of another one, from the template of now."""
    return _created(client, again(client.get(name), reference(current_template(client))))


def stop(client: Client, name: str) -> str:
    _running(client, name)
    client.shut_down(name, "Stop")
    return name


def terminate(client: Client, name: str) -> str:
    _running(client, name)
    client.shut_down(name, "Terminate")
    return name


def suspend(client: Client, name: str) -> str:
    _running(client, name)
    client.suspend(name, True)
    return name


def resume(client: Client, name: str) -> str:
    """Argo Server's resume would also end a waiting approval by its default, so that is refused."""
    found = _running(client, name)
    if found.waiting:
        raise UserError(f"workflow {name} waits for a decision: use clio-argo approve {name}, or reject")
    if not found.suspended:
        raise UserError(f"workflow {name} is not suspended")
    client.suspend(name, False)
    return name


def delete(client: Client, name: str) -> str:
    client.delete(name)
    return name


def approve(client: Client, name: str) -> str:
    return _decide(client, name, APPROVE)


def reject(client: Client, name: str) -> str:
    return _decide(client, name, REJECT)


def _decide(client: Client, name: str, decision: str) -> str:
    found = _running(client, name)
    if not found.waiting:
        raise UserError(f"workflow {name} waits for no decision: {found.decision or 'there is none to be made now'}")
    client.decide(name, found.waiting.id, decision, f"{decision} by {getpass.getuser()}")
    return name


def _running(client: Client, name: str) -> Summary:
    found = summarise(client.get(name))
    if found.ended:
        raise UserError(f"workflow {name} has ended ({'rejected' if found.rejected else found.phase})")
    return found


def _created(client: Client, workflow: Json) -> str:
    return str(client.create(workflow)["metadata"]["name"])
