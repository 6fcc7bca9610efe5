"""All that a new kind of store is: buckets are folders under $TOY_ROOT."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clio_argo.store.backends.base import Backend, Listed


def folder(bucket: str) -> Path:
    return Path(os.environ["TOY_ROOT"], bucket)


def spec(bucket: str, path: str) -> dict[str, Any]:
    return {"driver": "file", "path": f"{folder(bucket)}/{path}"}


def objects(bucket: str, prefix: str, flat: bool) -> Iterator[Listed]:
    files = {p.relative_to(folder(bucket)).as_posix(): p for p in folder(bucket).rglob("*") if p.is_file()}
    for name in sorted(n for n in files if n.startswith(prefix)):
        if not (flat and "/" in name.removeprefix(prefix)):
            yield Listed(name, files[name].stat().st_size)


TOY = Backend(scheme="toy", spec=spec, objects=objects)
