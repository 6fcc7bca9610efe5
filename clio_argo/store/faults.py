"""From what stores, their clients and the system say to what a person can do about it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from clio_argo.errors import ClioError, MissingBucket, MissingInput, StoreFault, TryAgain

Verb = Literal["read", "list", "write", "delete", "administer"]
NEEDED: dict[str, dict[Verb, str]] = {
    "gs": {
        "read": "storage.objects.get",
        "list": "storage.objects.list",
        "write": "storage.objects.create (and storage.objects.delete to replace)",
        "delete": "storage.objects.delete",
        "administer": "storage.buckets.create, get, update, delete, getIamPolicy or setIamPolicy",
    },
    "s3": {
        "read": "s3:GetObject",
        "list": "s3:ListBucket",
        "write": "s3:PutObject",
        "delete": "s3:DeleteObject",
        "administer": "s3:CreateBucket",
    },
}
GRANT = {
    "gs": "grant it to the account in use, for example roles/storage.objectUser on the bucket "
    "(roles/storage.objectViewer to read a source)",
    "s3": "allow it to the identity in use by a policy on the bucket",
}
LOG_IN = {
    "gs": "log in (gcloud auth application-default login), name a key file in GOOGLE_APPLICATION_CREDENTIALS, "
    "or let the pod's service account act for one of Google Cloud",
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the pod's role",
}
GOES_ON = "run the same command again; it goes on where it stopped"
REFUSALS = {
    401: "no valid credentials (401): {log_in}; {needed} is needed",
    403: "no permission to {verb} (403): {needed} is missing; {grant}",
    # what is listed or written needs no object, only the bucket; missing ones that are read are no errors here
    404: "there is no bucket {bucket} (404): look at its name, or make it; then " + GOES_ON,
    412: "another process changed it at the same time (412): " + GOES_ON,
}
PASSING = (408, 409, 429)
# where a store gave no HTTP status: what the text of an error says
REMEDIES: tuple[tuple[tuple[str, ...], type[ClioError], str], ...] = (
    (
        ("No space left", "RESOURCE_EXHAUSTED", "Disk quota"),
        StoreFault,
        "no space is left: free some or choose another place, then " + GOES_ON,
    ),
    (
        ("Read-only file system", "PERMISSION_DENIED", "Permission denied", "UNAUTHENTICATED", "credentials"),
        StoreFault,
        "no permission: check who owns it, or the credentials in use",
    ),
    (("NOT_FOUND", "No such file"), MissingInput, "it does not exist"),
    (
        ("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "Timeout", "timeout", "connect", "Connection"),
        TryAgain,
        "the store does not answer; try again",
    ),
    (
        ("Too many open files",),
        TryAgain,
        "too many open files: raise the limit (ulimit -n) or use fewer workers",
    ),
)
CLIENTS = ("google", "botocore", "boto3", "requests", "urllib3")
STATUS = re.compile(r"http_response_code='(\d+)'")


@contextmanager
def store_errors(url: str, name: str, verb: Verb = "read") -> Iterator[None]:
    """Raise what a store refuses as an error that names the object and the remedy.

    verb: what is done to the object; it tells which permission is missing.
    """
    try:
        yield
    except Exception as error:
        if not _of_a_store(error):
            raise
        raise explained(url, name, error, verb) from error


def _of_a_store(error: Exception) -> bool:
    from_client = type(error).__module__.partition(".")[0] in CLIENTS
    return from_client or isinstance(error, ValueError | OSError | RuntimeError)


def explained(url: str, name: str, error: Exception, verb: Verb = "read") -> ClioError:
    text = str(error) or type(error).__name__
    status = _status(error, text) or (401 if "credentials" in text.lower() else None)
    kind, remedy = _by_status(url, status, verb) or _by_text(text)
    return kind(f"{url}{name}: {remedy + chr(10) if remedy else ''}  ({text.splitlines()[0][:300]})")


def _status(error: Exception, text: str) -> int | None:
    """The HTTP status of an answer: google's clients, boto3 and tensorstore each tell it their own way."""
    if isinstance(code := getattr(error, "code", None), int):
        return int(code)
    if isinstance(response := getattr(error, "response", None), dict):
        return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) or None
    found = STATUS.search(text)
    return int(found[1]) if found else None


def _by_status(url: str, status: int | None, verb: Verb) -> tuple[type[ClioError], str] | None:
    scheme, _, place = url.partition("://")
    if status is None or scheme not in NEEDED:
        return None
    if status == 409 and verb == "administer":
        return StoreFault, "the name is taken, by whomever, or the bucket is not empty (409)"
    if status in PASSING or status >= 500:
        return TryAgain, f"the store answered {status} to every try; try again later"
    if status not in REFUSALS:
        return None
    values = {"needed": NEEDED[scheme][verb], "grant": GRANT[scheme], "log_in": LOG_IN[scheme]}
    bucket = f"{scheme}://{place.partition('/')[0]}"
    kind = MissingBucket if status == 404 else StoreFault
    return kind, REFUSALS[status].format(verb=verb, bucket=bucket, **values)


def _by_text(text: str) -> tuple[type[ClioError], str]:
    for signs, kind, remedy in REMEDIES:
        if any(sign in text for sign in signs):
            return kind, remedy
    return StoreFault, ""
