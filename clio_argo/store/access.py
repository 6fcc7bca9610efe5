"""How buckets are reached: where they are, with whose credentials, how patiently.

Nothing here writes or reads objects. What tensorstore reads from the environment is set when this module is loaded,
unless a person has set it; docs/guide.md lists it.
"""

import os
from functools import cache, lru_cache
from typing import Any

import tensorstore as ts

from clio_argo.errors import UserError

DRIVERS = {"gs": "gcs", "s3": "s3"}
# pauses of 1, 2, 4 ... 32 s between 8 tries, with jitter: a store that refuses is given up after about two minutes
TRIES, PAUSE_S, LONGEST_PAUSE_S = 8, 1, 32
CONNECT_S, SILENT_S = 10, 30


def _positive(name: str, default: int) -> int:
    """A whole number from the environment."""
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not int(text):
        raise UserError(f"{name} {text!r}: expected a whole number above 0, for example {default}")
    return int(text)


def tries() -> int:
    """How often a request is tried before its store counts as unreachable."""
    return _positive("CLIO_STORE_TRIES", TRIES)


def silence_s() -> int:
    """After how many seconds of silence a request is tried again."""
    return _positive("CLIO_STORE_SILENCE_S", SILENT_S)


TENSORSTORE = {
    # below 1 kB/s for that long is a connection that will not recover; curl alone would wait for ever
    "TENSORSTORE_CURL_CONNECT_TIMEOUT_SECONDS": str(CONNECT_S),
    "TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS": str(silence_s()),
    "TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES": "1000",
    # conditions are otherwise kept on Amazon's own servers only
    "TENSORSTORE_S3_USE_CONDITIONAL_WRITE": "true",
}
os.environ.update({**TENSORSTORE, **os.environ})
NOWHERE = "127.0.0.1:9"
# google-cloud-storage uses no credentials where this is set
EMULATOR = "STORAGE_EMULATOR_HOST"
READ_BY_CLIENTS = ("AWS_", "GOOGLE_", "STORAGE_", "CLIO_STORE_")


def bucket_spec(scheme: str, bucket: str, path: str) -> dict[str, Any]:
    """The tensorstore KvStore spec of a path in a bucket."""
    spec = {"driver": DRIVERS[scheme], "bucket": bucket, "path": path}
    if scheme == "s3":
        return spec | s3_server() | {"aws_credentials": {"type": _s3_credentials()}}
    if not os.environ.get(EMULATOR) and _google_credentials() is None:
        # it would wait for ever for a metadata server that is not there
        os.environ.setdefault("GCE_METADATA_ROOT", NOWHERE)
    return spec


def s3_server() -> dict[str, str]:
    """Endpoint and region from the variables that all AWS tools read."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        return {"endpoint": endpoint, "aws_region": region or "us-east-1"}
    return {"aws_region": region} if region else {}


def _s3_credentials() -> str:
    """The kind of tensorstore's credentials; if it looked for them itself, it would complain of missing files."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return "environment"
    return "default" if _found_on_machine() else "anonymous"


@cache
def _found_on_machine() -> bool:
    import boto3

    return boto3.Session().get_credentials() is not None


@cache
def _google_credentials() -> Any:
    """Application default credentials; None if there are none, for public buckets."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        return google.auth.default()[0]
    except DefaultCredentialsError:
        return None


def _settings() -> frozenset[tuple[str, str]]:
    """What clients read from the environment."""
    return frozenset((name, value) for name, value in os.environ.items() if name.startswith(READ_BY_CLIENTS))


def google_client() -> Any:
    """The google-cloud-storage client of this process, with its connections."""
    return _google_client(_settings())


@lru_cache(1)
def _google_client(settings: frozenset[tuple[str, str]]) -> Any:  # noqa: ARG001, what it is made from
    from google.cloud import storage

    if os.environ.get(EMULATOR):
        return storage.Client()
    credentials = _google_credentials()
    return (
        storage.Client(credentials=credentials) if credentials else storage.Client.create_anonymous_client()
    )


def google_patience() -> dict[str, Any]:
    """Arguments of calls to a google-cloud-storage client."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    pauses_s = sum(min(PAUSE_S * 2**i, LONGEST_PAUSE_S) for i in range(tries() - 1))
    patient = DEFAULT_RETRY.with_delay(PAUSE_S, LONGEST_PAUSE_S, 2).with_timeout(pauses_s)
    return {"retry": patient, "timeout": (CONNECT_S, silence_s())}


def s3_client() -> Any:
    """The boto3 client for S3 of this process, with its connections."""
    return _s3_client(_settings())


@lru_cache(1)
def _s3_client(settings: frozenset[tuple[str, str]]) -> Any:  # noqa: ARG001, what it is made from
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    signed = {} if _s3_credentials() != "anonymous" else {"signature_version": UNSIGNED}
    patient = {"mode": "standard", "total_max_attempts": tries()}
    config = Config(connect_timeout=CONNECT_S, read_timeout=silence_s(), retries=patient, **signed)
    return boto3.client("s3", config=config)


def patient_context(**limits: Any) -> ts.Context:
    """A tensorstore context with our retries and other limits."""
    # its first pause is twice the delay that it is given
    pauses = {"initial_delay": f"{PAUSE_S / 2}s", "max_delay": f"{LONGEST_PAUSE_S}s"}
    patient = {"max_retries": tries(), **pauses}
    return ts.Context({"gcs_request_retries": patient, "s3_request_retries": patient, **limits})
