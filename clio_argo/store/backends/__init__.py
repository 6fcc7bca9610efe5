"""The kinds of stores, by the scheme of their URLs: all that is special about one is in its module here.

Importing this package reads no environment and opens nothing.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from clio_argo.errors import UserError
from clio_argo.store.backends.base import Backend
from clio_argo.store.backends.file import FILE
from clio_argo.store.backends.gcs import GCS
from clio_argo.store.backends.s3 import S3

BACKENDS: Mapping[str, Backend] = {b.scheme: b for b in (FILE, GCS, S3)}
# of sources without a scheme: the only store in which this program makes buckets
DEFAULT = GCS
# an installed package adds a kind of store by an entry point of this group; its name is the scheme
PLUGINS = "clio_argo.stores"


@cache
def find_backend(scheme: str) -> Backend | None:
    """The kind of store of a scheme: one of ours, or of an installed package; None if there is none."""
    if scheme in BACKENDS:
        return BACKENDS[scheme]
    loaded: list[Backend] = [entry.load() for entry in entry_points(group=PLUGINS, name=scheme)]
    return loaded[0] if loaded else None


def backend_of(url: str) -> Backend:
    """The kind of store of a URL, or of a local path. Raises `UserError` if there is none."""
    scheme, colon, _ = url.partition("://")
    if not colon:
        return FILE
    if backend := find_backend(scheme.lower()):
        return backend
    known = ", ".join(f"{s}://" for s in BACKENDS)
    raise UserError(f"{url}: unknown kind of store {scheme!r}; use a path or one of {known}")
