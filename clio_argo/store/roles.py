"""The buckets of a request: made and configured before its run begins, by the command that starts it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from clio_argo.errors import MissingBucket, StoreError, UserError
from clio_argo.model.base import counted
from clio_argo.model.buckets import price_of, reserved
from clio_argo.model.request import Request
from clio_argo.model.storage import MakeBuckets
from clio_argo.store.backends.gcs import GCS
from clio_argo.store.buckets import UNLABELLED, Bucket
from clio_argo.store.documents import absolute_url, split_url
from clio_argo.store.source_url import source_url

# billed for 90 days at least: lossless volumes are kept for years and read again now and then
COLD = "COLDLINE"
# the role that a setting of `make_buckets` needs a bucket for
NEEDED = {"public": "viewer", "expire_days": "temporary", "archive_days": "lossless"}


class _Folder(NamedTuple):
    """Where a role's objects lie: `scheme://bucket/prefix`."""

    role: str
    url: str
    scheme: str
    bucket: str
    prefix: str

    @property
    def google(self) -> bool:
        """Whether its bucket can be made here: only those of Google Cloud Storage can."""
        return self.scheme == GCS.scheme


def _folder(role: str, url: str) -> _Folder:
    return _Folder(role, url, *split_url(absolute_url(url)))


def make_missing(request: Request, run: str) -> Iterator[str]:
    """Make the missing buckets of a request; yields a line for each.

    run: URL of the run's root.

    Raises:
        UserError: names all buckets that cannot be made or must not be changed, before anything is done.
    """
    requested = request.make_buckets
    if requested.location is None:
        return
    folders = _folders(request, run)
    ours = {f.bucket: _ours(f.bucket) for f in folders if f.google}
    if problems := [*_unmet(requested, folders), *_refused(folders, ours), *_exposed(request, folders)]:
        raise UserError.all("the buckets of this request cannot be made and set:", problems)
    for name in (n for n, label in ours.items() if label is None):
        roles = {f.role for f in folders if f.bucket == name}
        _make(name, requested.location, request.project, temporary=roles == {"temporary"})
        yield f"gs://{name} was made in {requested.location} ({', '.join(sorted(roles))})"


def set_roles(request: Request, run: str) -> Iterator[str]:
    """Configure the buckets of a request by their roles; yields a line for each change."""
    if request.make_buckets.location is not None:
        yield from _set(request.make_buckets, {f.role: f for f in _folders(request, run)})


def _folders(request: Request, run: str) -> list[_Folder]:
    return [_folder(role, url) for role, url in (("run", run), *request.buckets) if url]


def _ours(name: str) -> bool | None:
    """Whether a bucket has our label; None if there is no such bucket."""
    try:
        return Bucket(name).ours()
    except MissingBucket:
        return None


def _unmet(requested: MakeBuckets, folders: Sequence[_Folder]) -> Iterator[str]:
    roles = {f.role for f in folders}
    unmet = ((key, role) for key, role in NEEDED.items() if getattr(requested, key) and role not in roles)
    return (f"make_buckets.{key}: needs a bucket in buckets.{role}" for key, role in unmet)


def _refused(folders: Sequence[_Folder], ours: Mapping[str, bool | None]) -> Iterator[str]:
    """Roles in other stores, in somebody's bucket, or in one that nobody can make."""
    for folder in folders:
        role, name = f"buckets.{folder.role}", folder.bucket
        if not folder.google and folder.role != "run":
            yield f"{role} {folder.url}: only buckets of Google Cloud Storage are made (gs://)"
        elif ours.get(name) is False and folder.role != "run":
            yield f"{role} gs://{name}: {UNLABELLED}"
        elif folder.google and ours[name] is None:
            yield from (f"gs://{name}: {problem}" for problem in reserved(name))


def _exposed(request: Request, folders: Sequence[_Folder]) -> Iterator[str]:
    """What else everybody could read."""
    public = [f.bucket for f in folders if f.role == "viewer" and request.make_buckets.public]
    for folder in (*folders, _folder("source", source_url(request.source))):
        if folder.role != "viewer" and folder.google and folder.bucket in public:
            yield f"make_buckets.public: the bucket of buckets.viewer also holds {folder.role} {folder.url}"


def _make(name: str, location: str, project: str | None, temporary: bool) -> None:
    try:
        Bucket(name).make(location, project, temporary)
    except StoreError:
        # another runner of the same request was quicker
        if not _ours(name):
            raise


def _set(requested: MakeBuckets, folders: Mapping[str, _Folder]) -> Iterator[str]:
    if viewer := folders.get("viewer"):
        Bucket(viewer.bucket).allow_pages()
        if requested.public:
            yield Bucket(viewer.bucket).publish()
    if requested.expire_days is not None:
        temporary = folders["temporary"]
        yield Bucket(temporary.bucket).expire(temporary.prefix, requested.expire_days)
    if requested.archive_days is not None:
        lossless = folders["lossless"]
        Bucket(lossless.bucket).archive(COLD, lossless.prefix, requested.archive_days)
        yield f"{absolute_url(lossless.url)}: after {counted(requested.archive_days, 'day')} {price_of(COLD)}"
