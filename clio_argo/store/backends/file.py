"""Folders of this machine: `file:///PATH`."""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from clio_argo.store.backends.base import Backend, Listed

# chosen: enough to keep a disk busy, and few enough for the other processes of a machine
LIMITS = {"file_io_concurrency": {"limit": 4}}
# tensorstore's file driver writes NAME.__lock and renames it
UNFINISHED = b".__lock"


def _spec(_bucket: str, path: str) -> dict[str, Any]:
    return {"driver": "file", "path": f"/{path.lstrip('/')}"}


def _objects(bucket: str, prefix: str, flat: bool) -> Iterator[Listed]:
    import tensorstore as ts

    folder, _, begin = os.fsencode(prefix).rpartition(b"/")
    kv = ts.KvStore.open(_spec(bucket, os.fsdecode(folder + b"/"))).result()
    for key in sorted(kv.list().result()):
        if key.startswith(begin) and not key.endswith(UNFINISHED) and not (flat and b"/" in key):
            # what another process deletes meanwhile is not listed
            with suppress(FileNotFoundError):
                path = folder + b"/" + key
                yield Listed(path.decode(errors="backslashreplace"), os.stat(path).st_size)  # noqa: PTH116, not UTF-8


FILE = Backend(scheme="file", local=True, spec=_spec, objects=_objects, limits=LIMITS)
