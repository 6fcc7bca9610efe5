"""Amazon S3 and servers that speak its protocol: `s3://BUCKET/PATH`."""

import base64
import os
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import IO, Any

from clio_argo.store.backends import web
from clio_argo.store.backends.base import Backend, Listed, name_problems

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
LONGEST_NAME = 63
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html: of an object written at once
LARGEST = 5 * 2**30


def _spec(bucket: str, path: str) -> dict[str, Any]:
    web.set_timeouts()
    # tensorstore otherwise keeps conditions on Amazon's own servers only
    os.environ.setdefault("TENSORSTORE_S3_USE_CONDITIONAL_WRITE", "true")
    spec = {"driver": "s3", "bucket": bucket, "path": path, **_server()}
    kind = _credentials()
    # without a name tensorstore finds no profile, not even the default one, and goes on without credentials
    profile = {"profile": os.environ.get("AWS_PROFILE") or "default"} if kind == "default" else {}
    return {**spec, "aws_credentials": {"type": kind, **profile}, "s3_request_retries": web.retries()}


def _server() -> dict[str, str]:
    """Endpoint and region from the variables that all AWS tools read."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        # tensorstore asks for a region; other servers take any
        return {"endpoint": endpoint, "aws_region": region or "us-east-1"}
    return {"aws_region": region} if region else {}


def _credentials() -> str:
    """The kind of tensorstore's credentials; if it looked for them itself, it would complain of missing files."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return "environment"
    return "default" if _has_credentials() else "anonymous"


@cache
def _has_credentials() -> bool:
    import boto3

    return boto3.Session().get_credentials() is not None


@lru_cache(1)
def _client(variables: frozenset[tuple[str, str]]) -> Any:  # noqa: ARG001, what it is made from
    """The boto3 client for S3 of this process, with its connections."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    signed = {} if _credentials() != "anonymous" else {"signature_version": UNSIGNED}
    retries = {"mode": "standard", "total_max_attempts": web.tries()}
    config = Config(connect_timeout=web.CONNECT_S, read_timeout=web.silence_s(), retries=retries, **signed)
    return boto3.client("s3", config=config)


def _objects(bucket: str, prefix: str, flat: bool) -> Iterator[Listed]:
    pages = _client(web.variables("AWS_")).get_paginator("list_objects_v2")
    limits = {"Delimiter": "/" if flat else "", "PaginationConfig": {"PageSize": web.PAGE}}
    for page in pages.paginate(Bucket=bucket, Prefix=prefix, **limits):
        for item in page.get("Contents", []):
            stamp, written_s = item["ETag"].strip('"'), item["LastModified"].timestamp()
            yield Listed(item["Key"], item["Size"], None, stamp, written_s)


def _is_of(generation: bytes, stamp: str) -> bool:
    # tensorstore keeps a byte of its own before the ETag
    return generation[1:] == f'"{stamp}"'.encode()


def _bucket_problems(name: str) -> list[str]:
    return name_problems(name, r"[a-z0-9][a-z0-9.-]*[a-z0-9]", "lower-case letters, digits, '-' and '.'", LONGEST_NAME)


def _status(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    answer = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    return int(answer.get("HTTPStatusCode", 0)) or None


def _web_address(bucket: str, name: str) -> str:
    """The bucket's host, or the path below a server of one's own."""
    endpoint = _server().get("endpoint")
    return f"{endpoint}/{bucket}/{name}" if endpoint else f"https://{bucket}.s3.amazonaws.com/{name}"


def _upload(bucket: str, name: str, file: IO[bytes], crc32c: str, replaced: Listed | None) -> bool:
    from botocore.exceptions import ClientError

    condition = {"IfMatch": f'"{replaced.stamp}"'} if replaced else {"IfNoneMatch": "*"}
    checksum = base64.b64encode(bytes.fromhex(crc32c)).decode()
    try:
        _client(web.variables("AWS_")).put_object(
            Bucket=bucket, Key=name, Body=file, ChecksumAlgorithm="CRC32C", ChecksumCRC32C=checksum, **condition
        )
    except ClientError as error:
        if _status(error) == 412:
            return False
        raise
    return True


def _crc32c(bucket: str, name: str) -> str | None:
    head = _client(web.variables("AWS_")).head_object(Bucket=bucket, Key=name, ChecksumMode="ENABLED")
    kept = head.get("ChecksumCRC32C", "")
    # of an object in parts, whose tag ends with their number, it may be one over their checksums
    return None if not kept or "-" in head["ETag"] else base64.b64decode(kept).hex()


S3 = Backend(
    scheme="s3",
    spec=_spec,
    objects=_objects,
    is_of=_is_of,
    limits={"s3_request_concurrency": {"limit": web.REQUESTS}},
    bucket_problems=_bucket_problems,
    permissions={
        "read": "s3:GetObject",
        "list": "s3:ListBucket",
        "write": "s3:PutObject",
        "delete": "s3:DeleteObject",
        "administer": "s3:CreateBucket",
    },
    grant="allow it to the identity in use by a policy on the bucket",
    log_in="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the pod's role",
    clients=("botocore", "boto3", "urllib3"),
    status=_status,
    web_address=_web_address,
    upload=_upload,
    crc32c=_crc32c,
    largest=LARGEST,
)
