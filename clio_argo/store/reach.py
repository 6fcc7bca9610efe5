"""Which places the pods of a cluster reach: buckets, and folders that the installation mounts."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from clio_argo.model.request import FILES, Request
from clio_argo.store.backends import find_backend

# what a form or an option may name without its scheme
FOLDERS = ("source", "run")


def places_of(request: Request) -> dict[str, str]:
    """All places that a request names, by their setting."""
    buckets = {f"buckets.{role}": place for role, place in request.buckets if place}
    return {"source": request.source, **request.given_files, **buckets}


def unreachable(places: Mapping[str, str], mounted: Sequence[str]) -> list[str]:
    """Why no pod can reach some of the places, which are given by the name of what a person filled in."""
    return [problem for name, place in places.items() for problem in _problems(name, place, mounted)]


def _problems(name: str, place: str, mounted: Sequence[str]) -> Iterator[str]:
    if place != place.strip() or not place:
        yield f"{name} {place!r}: empty, or with spaces around it; give a folder of a bucket, e.g. gs://my-bucket/fly"
        return
    parts = urlsplit(place)
    backend = find_backend(parts.scheme or "file")
    if backend is None:
        yield f"{name} {place}: unknown kind of store {parts.scheme!r}; use gs:// or s3://"
    elif backend.local:
        yield from _unmounted(name, place, PurePosixPath(parts.path if parts.scheme else place), mounted)
    elif not parts.netloc:
        yield f"{name} {place}: names no bucket"
    else:
        yield from (f"{name} {place}: the bucket's name {p}" for p in backend.bucket_problems(parts.netloc))


def _unmounted(name: str, place: str, path: PurePosixPath, mounted: Sequence[str]) -> Iterator[str]:
    if any(path.is_relative_to(folder) for folder in mounted):
        return
    what = "file" if name in FILES else "folder"
    seen = f"pods see no such {what}" + (f", only what lies in {', '.join(mounted)}" if mounted else "")
    # `fly/raw` is most often a bucket whose scheme was forgotten
    if name in FOLDERS and not path.is_absolute() and not Path(place).exists():
        yield f"{name} {place}: write gs://{place} if it is a bucket; {seen}"
    else:
        yield (f"{name} {place}: {seen}; upload it and use gs:// or s3://, or mount it with the setting volumes of the "
               "installation")  # fmt: skip
