"""Google Cloud Storage: `gs://BUCKET/PATH`."""

import base64
import os
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from http import HTTPStatus
from typing import IO, Any

from clio_argo.store.backends import web
from clio_argo.store.backends.base import Backend, Listed, name_problems
from clio_argo.store.backends.identity import NOWHERE, await_identity

# google-cloud-storage uses no credentials where this is set
EMULATOR = "STORAGE_EMULATOR_HOST"
# of google-auth, where the metadata server gives no token
NO_TOKEN = re.compile("Unable to generate access token|Compute Engine [Mm]etadata")
# where tensorstore finds another one
SERVER = "TENSORSTORE_GCS_HTTP_URL"
# what `Listed` keeps, of about thirty fields of an object
FIELDS = "items(name,size,crc32c,generation,updated),nextPageToken"
# https://cloud.google.com/storage/docs/buckets#naming; a name with dots is a domain's
LONGEST_NAME, LONGEST_DOMAIN = 63, 222
# https://cloud.google.com/storage/quotas#objects
LARGEST = 5 * 2**40
# Of a large file, one request each, so that a lost connection costs no more. Several are in memory at once.
PIECE = 16 * 2**20


def _spec(bucket: str, path: str) -> dict[str, Any]:
    web.set_timeouts()
    if emulator := os.environ.get(EMULATOR):
        # tensorstore reads variables of its own, and would send it a person's credentials
        os.environ.setdefault(SERVER, emulator)
        os.environ.setdefault("GOOGLE_AUTH_TOKEN_FOR_TESTING", "none")
    elif _credentials() is None:
        # tensorstore would wait for ever for a metadata server that is not there
        os.environ.setdefault("GCE_METADATA_ROOT", NOWHERE)
    return {"driver": "gcs", "bucket": bucket, "path": path, "gcs_request_retries": web.retries()}


@cache
def _credentials() -> Any:
    """Application default credentials and their project; None if there are none, for public buckets.

    Raises:
        TransientError: the metadata server of this machine gives none.
    """
    found = _default_credentials()
    # Google's clients take a server that fails once for none and go on without credentials, tensorstore included
    if (found is None or _is_of_machine(found)) and await_identity():
        return found or _default_credentials()
    return found


def _is_of_machine(found: Any) -> bool:
    from google.auth.compute_engine import Credentials

    return found is not None and isinstance(found[0], Credentials)


def _default_credentials() -> Any:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        return google.auth.default()
    except DefaultCredentialsError:
        return None


def client() -> Any:
    """The google-cloud-storage client of this process, with its connections."""
    return _client(web.variables("GOOGLE_", "STORAGE_"))


@lru_cache(1)
def _client(variables: frozenset[tuple[str, str]]) -> Any:  # noqa: ARG001, what it is made from
    from google.cloud import storage

    if os.environ.get(EMULATOR):
        return storage.Client()
    if found := _credentials():
        # without the project it would look for the credentials once more
        return storage.Client(credentials=found[0], project=found[1])
    return storage.Client.create_anonymous_client()


def patience() -> dict[str, Any]:
    """Retries and timeouts as arguments of calls to a google-cloud-storage client."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    # the client counts seconds instead of tries
    pauses_s = sum(min(web.FIRST_PAUSE_S * 2**i, web.LONGEST_PAUSE_S) for i in range(web.tries() - 1))
    retry = DEFAULT_RETRY.with_delay(web.FIRST_PAUSE_S, web.LONGEST_PAUSE_S, 2).with_timeout(pauses_s)
    return {"retry": retry, "timeout": (web.CONNECT_S, web.silence_s())}


def _objects(bucket: str, prefix: str, flat: bool) -> Iterator[Listed]:
    delimiter = "/" if flat else None
    limits = {"fields": FIELDS, "page_size": web.PAGE, **patience()}
    for blob in client().list_blobs(bucket, prefix=prefix, delimiter=delimiter, **limits):
        crc32c = base64.b64decode(blob.crc32c).hex() if blob.crc32c else None
        written_s = blob.updated.timestamp() if blob.updated else 0.0
        yield Listed(blob.name, blob.size, crc32c, f"{blob.generation}-{blob.crc32c}", written_s)


def _is_of(generation: bytes, stamp: str) -> bool:
    # tensorstore keeps a byte of its own before the number
    return stamp.partition("-")[0] == str(int.from_bytes(generation[1:], "little"))


def _bucket_problems(name: str) -> list[str]:
    longest = LONGEST_DOMAIN if "." in name else LONGEST_NAME
    return name_problems(name, r"[a-z0-9][a-z0-9._-]*[a-z0-9]", "lower-case letters, digits, '-', '_' and '.'", longest)


def _status(error: Exception) -> int | None:
    code = getattr(error, "code", None)
    return int(code) if isinstance(code, int) else None


def _is_passing(status: int | None, text: str) -> bool:
    # tensorstore asks the metadata server once more, and without an answer asks the store without credentials
    lost = status == HTTPStatus.UNAUTHORIZED or NO_TOKEN.search(text)
    return bool(lost) and not os.environ.get(EMULATOR) and _is_of_machine(_credentials())


def _web_address(bucket: str, name: str) -> str:
    """The JSON interface, which neuroglancer reads."""
    from urllib.parse import quote

    server = os.environ.get(SERVER, "https://storage.googleapis.com")
    return f"{server}/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media"


def _location(bucket: str) -> str | None:
    from google.api_core.exceptions import Forbidden

    try:
        return str(client().get_bucket(bucket, **patience()).location)
    except Forbidden:
        return None


def _upload(bucket: str, name: str, file: IO[bytes], _crc32c: str, replaced: Listed | None) -> bool:
    from google.api_core.exceptions import PreconditionFailed

    # the client computes the checksum of what it reads itself, and the store compares
    blob = client().bucket(bucket).blob(name, chunk_size=PIECE)
    generation = int(replaced.stamp.partition("-")[0]) if replaced else 0
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        blob.upload_from_file(file, size=size, if_generation_match=generation, checksum="crc32c", **patience())
    except PreconditionFailed:
        return False
    return True


GCS = Backend(
    scheme="gs",
    spec=_spec,
    objects=_objects,
    is_of=_is_of,
    limits={"gcs_request_concurrency": {"limit": web.REQUESTS}},
    bucket_problems=_bucket_problems,
    permissions={
        "read": "storage.objects.get",
        "list": "storage.objects.list",
        "write": "storage.objects.create (and storage.objects.delete to replace)",
        "delete": "storage.objects.delete",
        "administer": "storage.buckets.create, get, update, delete, getIamPolicy or setIamPolicy",
    },
    grant="grant it to the account in use, for example roles/storage.objectUser on the bucket "
    "(roles/storage.objectViewer to read a source)",
    make=" (clio-argo bucket make NAME --location REGION)",
    log_in="log in (gcloud auth application-default login), name a key file in GOOGLE_APPLICATION_CREDENTIALS, "
    "or let the pod's service account act for one of Google Cloud",
    clients=("google", "requests", "urllib3"),
    status=_status,
    is_passing=_is_passing,
    web_address=_web_address,
    location=_location,
    upload=_upload,
    largest=LARGEST,
)
