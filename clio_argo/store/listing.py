"""Names, sizes and checksums of all objects under a URL, without reading any of them.

Buckets are listed by their own clients: tensorstore's listings hold names only, and those of GCS are empty where
listing is not allowed.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from clio_argo.store.access import google_client, google_patience, s3_client
from clio_argo.store.faults import store_errors

# as many as a store gives at once
PAGE = 1000
FIELDS = "items(name,size,crc32c,generation),nextPageToken"


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as its store lists it; `stamp` changes when it is written again.

    crc32c: 8 hexadecimal digits; None where listings carry none (S3, folders).
    """

    name: str
    size: int
    crc32c: str | None = None
    stamp: str = ""


def listed(url: str, prefix: str = "", flat: bool = False) -> Iterator[Listed]:
    """Objects of a bucket whose names begin with `prefix`, ordered by name; names are relative to `url`.

    flat: only those with no further slash behind the prefix.
    """
    scheme, _, place = url.partition("://")
    bucket, _, root = place.partition("/")
    pages = _google_pages if scheme == "gs" else _s3_pages
    with store_errors(url, prefix, "list"):
        for found in chain.from_iterable(pages(bucket, root + prefix, "/" if flat else "")):
            # consoles make empty objects that look like folders
            if not found.name.endswith("/"):
                yield Listed(found.name.removeprefix(root), found.size, found.crc32c, found.stamp)


def _google_pages(bucket: str, prefix: str, delimiter: str) -> Iterator[Iterator[Listed]]:
    blobs = google_client().list_blobs(
        bucket, prefix=prefix, delimiter=delimiter or None, fields=FIELDS, page_size=PAGE, **google_patience()
    )
    for page in blobs.pages:
        yield (Listed(b.name, b.size, _hexadecimal(b.crc32c), f"{b.generation}-{b.crc32c}") for b in page)


def _hexadecimal(crc32c: str | None) -> str | None:
    return base64.b64decode(crc32c).hex() if crc32c else None


def _s3_pages(bucket: str, prefix: str, delimiter: str) -> Iterator[Iterator[Listed]]:
    pages = s3_client().get_paginator("list_objects_v2")
    for page in pages.paginate(
        Bucket=bucket, Prefix=prefix, Delimiter=delimiter, PaginationConfig={"PageSize": PAGE}
    ):
        contents: list[dict[str, Any]] = page.get("Contents", [])
        yield (Listed(o["Key"], o["Size"], None, o["ETag"].strip('"')) for o in contents)
