"""What a cluster refuses, in words that name the thing and what to do.

The Kubernetes API and Argo Server answer with the same sentences, so one reading serves both.
"""

import json
import re
from collections.abc import Callable

from clio_argo.errors import ClioError, TransientError, UserError

DENIED = re.compile(r'User "(?P<who>[^"]*)" cannot (?P<verb>\S+) resource "(?P<what>[^"]+)"')
NAMESPACE = re.compile(r'in the namespace "(?P<where>[^"]*)"')
ABSENT = re.compile(r'(?P<kind>[\w.]+) "(?P<name>[^"]*)" not found')
PRESENT = re.compile(r'(?P<kind>[\w.]+) "(?P<name>[^"]*)" already exists')
NO_RESOURCE = ("page not found", "could not find the requested resource")
KINDS = {"workflowtemplates": "template", "workflows": "workflow", "namespaces": "namespace", "pods": "pod"}
# a condition of a patch that did not hold, and a suspended node that Argo Server found no more
OVERTAKEN = ("the server rejected our request due to an error in our request", "no suspend nodes matching")
LONGEST = 1000


class Refused(ClioError):
    """A cluster does not let this person do this."""


class Conflict(ClioError):
    """Something changed meanwhile: another person decided, or the object is there already."""


class NotFound(UserError):
    """A name that the cluster does not know."""


def fault(status: int, body: str | bytes, place: str) -> ClioError:
    """The error behind an HTTP status and body; `place` says which cluster and namespace were asked."""
    message = _sentence(body.decode(errors="replace") if isinstance(body, bytes) else body)
    if any(sign in message for sign in OVERTAKEN):
        return Conflict(f"{place}: changed meanwhile; look again with: clio-argo get")
    if speak := SPEAK.get(status):
        return speak(message, place)
    if status == 429 or status >= 500:
        return TransientError(f"{place}: answered {status}: {message[:LONGEST]}")
    return UserError(f"{place}: refused ({status}): {message[:LONGEST]}")


def _sentence(body: str) -> str:
    """The message of a Kubernetes Status or of an error of Argo Server; other bodies as they are."""
    try:
        said = json.loads(body)
        return str(said.get("error", said)["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return body.strip()


def unreachable(error: BaseException, place: str) -> TransientError:
    """Nobody answers."""
    return TransientError(f"{place}: does not answer: {origin(error)}")


def origin(error: BaseException) -> str:
    """What the system said first, below all that libraries wrapped around it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(error)[:LONGEST] or type(error).__name__


def _unknown_person(message: str, place: str) -> ClioError:
    return UserError(f"{place}: does not accept the credentials ({message[:LONGEST]}); log in again")


def _denied(message: str, place: str) -> ClioError:
    found, where = DENIED.search(message), NAMESPACE.search(message)
    if not found:
        return Refused(f"{place}: no permission: {message[:LONGEST]}")
    scope = f"namespace {where['where']}" if where else "the whole cluster"
    return Refused(
        f"{place}: no permission: {found['who']} may not {found['verb']} {found['what']} in {scope}; "
        "the roles clio-argo-submitter and clio-argo-approver of an installation allow what is needed; "
        "ask an administrator, or name another namespace with -n"
    )


def _absent(message: str, place: str) -> ClioError:
    if any(sign in message for sign in NO_RESOURCE):
        return UserError(
            f"{place}: knows no workflows: Argo Workflows (the custom resource workflows.argoproj.io) is not "
            "installed; see docs/guide.md"
        )
    found = ABSENT.search(message)
    if not found:
        return NotFound(f"{place}: not found: {message[:LONGEST]}")
    return NotFound(f"{place}: there is no {_kind(found['kind'])} {found['name']}")


def _present(message: str, place: str) -> ClioError:
    found = PRESENT.search(message)
    if not found:
        return Conflict(f"{place}: changed meanwhile: {message[:LONGEST]}")
    return Conflict(f"{place}: there is a {_kind(found['kind'])} {found['name']} already; choose another name")


def _kind(resource: str) -> str:
    plural = resource.partition(".")[0]
    return KINDS.get(plural, plural)


SPEAK: dict[int, Callable[[str, str], ClioError]] = {401: _unknown_person, 403: _denied, 404: _absent, 409: _present}
