"""Errors of a cluster, in words that name the object and what to do.

The Kubernetes API and Argo Server use the same sentences, so both are read in the same way.
"""

import json
import re
from collections.abc import Callable

from clio_argo.errors import ClioError, TransientError, UserError, first_words

DENIED = re.compile(r'User "(?P<who>[^"]*)" cannot (?P<verb>\S+) resource "(?P<what>[^"]+)"')
NAMESPACE = re.compile(r'in the namespace "(?P<where>[^"]*)"')
ABSENT = re.compile(r'(?P<kind>[\w.]+) "(?P<name>[^"]*)" not found')
PRESENT = re.compile(r'(?P<kind>[\w.]+) "(?P<name>[^"]*)" already exists')
NO_RESOURCE = ("page not found", "could not find the requested resource")
KINDS = {"workflowtemplates": "template", "workflows": "workflow", "namespaces": "namespace", "pods": "pod"}
# the answer of the Kubernetes API to a patch whose test failed, and of Argo Server to a node that no longer waits
OVERTAKEN = ("the server rejected our request due to an error in our request", "no suspend nodes matching")
# a proxy may answer with a whole page; what matters comes first
LONGEST = 1000


class Refused(ClioError):
    """The caller has no permission."""


class Conflict(ClioError):
    """The object was changed in the meantime, or exists already."""


class NotFound(UserError):
    """The cluster has no object of this name."""


def fault(status: int, body: str | bytes, place: str) -> ClioError:
    """The error for an HTTP status and body; `place` names the cluster and namespace."""
    message = _sentence(body.decode(errors="replace") if isinstance(body, bytes) else body)
    if any(sign in message for sign in OVERTAKEN):
        return Conflict(f"{place}: was changed in the meantime; look again with: clio-argo workflow get")
    if speak := SPEAK.get(status):
        return speak(message, place)
    if status == 429 or status >= 500:
        return TransientError(f"{place}: answered {status}: {first_words(message, LONGEST)}")
    return UserError(f"{place}: refused ({status}): {first_words(message, LONGEST)}")


def _sentence(body: str) -> str:
    """The message of a Kubernetes Status or an error of Argo Server; any other body as it is."""
    try:
        answer = json.loads(body)
        # Argo Server wraps errors of a stream once more
        return str(answer.get("error", answer)["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return body.strip()


def unreachable(error: BaseException, place: str) -> TransientError:
    """The error for a server that does not answer."""
    return TransientError(f"{place}: does not answer: {origin(error)}")


def origin(error: BaseException) -> str:
    """The text of the innermost error, which libraries wrap several times."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return first_words(str(error), LONGEST) or type(error).__name__


def _unknown_person(message: str, place: str) -> ClioError:
    return UserError(f"{place}: does not accept the credentials ({first_words(message, LONGEST)}); log in again")


def _denied(message: str, place: str) -> ClioError:
    denied, namespace = DENIED.search(message), NAMESPACE.search(message)
    if not denied:
        return Refused(f"{place}: no permission: {first_words(message, LONGEST)}")
    scope = f"namespace {namespace['where']}" if namespace else "the whole cluster"
    return Refused(
        f"{place}: no permission: {denied['who']} may not {denied['verb']} {denied['what']} in {scope}; "
        "the roles clio-argo-submitter and clio-argo-approver of an installation allow what is needed; "
        "ask an administrator, or name another namespace with -n"
    )


def _absent(message: str, place: str) -> ClioError:
    if any(sign in message for sign in NO_RESOURCE):
        return UserError(
            f"{place}: Argo Workflows (the custom resource workflows.argoproj.io) is not installed; "
            "see docs/kubernetes.md"
        )
    if absent := ABSENT.search(message):
        return NotFound(f"{place}: there is no {_kind(absent['kind'])} {absent['name']}")
    return NotFound(f"{place}: not found: {first_words(message, LONGEST)}")


def _present(message: str, place: str) -> ClioError:
    if present := PRESENT.search(message):
        return Conflict(f"{place}: {_kind(present['kind'])} {present['name']} already exists; choose another name")
    return Conflict(f"{place}: was changed in the meantime: {first_words(message, LONGEST)}")


def _kind(resource: str) -> str:
    plural = resource.partition(".")[0]
    return KINDS.get(plural, plural)


SPEAK: dict[int, Callable[[str, str], ClioError]] = {
    401: _unknown_person, 403: _denied, 404: _absent, 409: _present
}  # fmt: skip
