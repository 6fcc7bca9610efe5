"""Errors of stores, their clients and the system, explained: which object, what is wrong, what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from clio_argo.errors import (
    ClioError,
    MissingBucket,
    MissingInput,
    NoAccess,
    StoreError,
    TransientError,
    first_words,
    printable,
)
from clio_argo.store.backends import backend_of
from clio_argo.store.backends.base import Backend, Verb

# characters of a store's own words
LONGEST = 300
GOES_ON = "run the same command again; it goes on where it stopped"
REFUSALS = {
    401: "no valid credentials (401): {log_in}; {needed} is needed",
    403: "no permission to {verb} (403): {needed} is missing; {grant}",
    # what is listed or written needs no object, only the bucket; missing ones that are read are no errors here
    404: "there is no bucket {bucket} (404): look at its name, or make it{make}; then " + GOES_ON,
    412: "another process changed it at the same time (412): " + GOES_ON,
}
KINDS: dict[int, type[ClioError]] = {401: NoAccess, 403: NoAccess, 404: MissingBucket}
# too slow, changed by another request at that moment, too many requests: a later try may pass
PASSING = (408, 409, 429)
NO_SPACE = f"no space is left: free some or choose another place, then {GOES_ON}"
NO_ACCESS = "no permission: check who owns it, or the credentials in use"
NO_IDENTITY = "this machine got no credentials in time; try again"
NO_ANSWER = "the store does not answer; try again"
# where a store gave no HTTP status: the first expression that occurs in the text of an error
POLICY = "violates constraint"
REMEDIES: tuple[tuple[str, type[ClioError], str], ...] = (
    (POLICY, StoreError, "a policy of the organisation forbids it: do as it asks, or ask who administers the project"),
    ("No space left|RESOURCE_EXHAUSTED|Disk quota", StoreError, NO_SPACE),
    ("Input/output error", StoreError, f"the disk or its server reports an error: look at its log, then {GOES_ON}"),
    ("Read-only file system|PERMISSION_DENIED|Permission denied|UNAUTHENTICATED|credentials", NoAccess, NO_ACCESS),
    ("NOT_FOUND|No such file", MissingInput, "it does not exist"),
    ("UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|[Tt]imeout|connect|Connection", TransientError, NO_ANSWER),
    ("Too many open files", TransientError, "too many open files: raise the limit (ulimit -n) or use fewer workers"),
)
# how tensorstore writes it
STATUS = re.compile(r"http_response_code='(\d+)'")


@contextmanager
def store_errors(url: str, name: str, verb: Verb = "read") -> Iterator[None]:
    """Raise what a store refuses as an error that names the object and the remedy.

    url: root of the store, or a local path.
    verb: what is done to the object, and so which permission is missing.
    """
    try:
        yield
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        # tensorstore and the system raise Python's own errors
        if not isinstance(error, ValueError | OSError | RuntimeError) and package not in backend_of(url).clients:
            raise
        raise explained(url, name, error, verb) from error


def explained(url: str, name: str, error: Exception, verb: Verb = "read") -> ClioError:
    """The error to show in place of that of a store: it names the object, the remedy and the store's own words."""
    text, backend = str(error) or type(error).__name__, backend_of(url)
    # also a 412, for the name of a place or for what may be public: it is never another process
    status = None if POLICY in text else _status(backend, error, text)
    by_text = next(((kind, remedy) for sign, kind, remedy in REMEDIES if re.search(sign, text)), (StoreError, ""))
    kind, remedy = (status and _by_status(url, status, verb)) or by_text
    if backend.is_passing(status, text):
        kind, remedy = TransientError, NO_IDENTITY
    return kind(
        f"{url}{printable(name)}: {remedy + chr(10) if remedy else ''}  ({first_words(text.splitlines()[0], LONGEST)})"
    )


def _status(backend: Backend, error: Exception, text: str) -> int | None:
    """The HTTP status of an answer; 401 for clients that find no credentials and so do not ask."""
    match = STATUS.search(text)
    absent = 401 if "credentials" in text.lower() and not backend.local else None
    return backend.status(error) or (int(match[1]) if match else absent)


def _by_status(url: str, status: int, verb: Verb) -> tuple[type[ClioError], str] | None:
    if status == 409 and verb == "administer":
        return StoreError, "the name is taken, perhaps by somebody else, or the bucket is not empty (409)"
    if status in PASSING or status >= 500:
        return TransientError, f"the store answered {status} to every try; try again later"
    if status not in REFUSALS:
        return None
    backend, kind = backend_of(url), KINDS.get(status, StoreError)
    needed = backend.permissions.get(verb, f"the right to {verb}")
    words = {"verb": verb, "needed": needed, "grant": backend.grant, "log_in": backend.log_in, "make": backend.make}
    return kind, REFUSALS[status].format(bucket="/".join(url.split("/")[:3]), **words)
