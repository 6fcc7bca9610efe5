"""The buckets of a request: made and configured before its run begins, by a person's command, never by a pod."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from clio_argo.errors import MissingBucket, StoreError, UserError
from clio_argo.model.buckets import price_of
from clio_argo.model.request import Request
from clio_argo.model.storage import MakeBuckets
from clio_argo.store.backends.gcs import GCS
from clio_argo.store.buckets import FOREIGN, Bucket, reserved
from clio_argo.store.documents import absolute_url, split_url
from clio_argo.store.slices import find_source

# billed for 90 days at least: lossless volumes are kept for years and read again now and then
COLD = "COLDLINE"
# the role that a setting of `make_buckets` needs a bucket for
NEEDED = {"public": "viewer", "expire_days": "temporary", "archive_days": "lossless"}


@dataclass(frozen=True)
class _Place:
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


def _place(role: str, url: str) -> _Place:
    return _Place(role, url, *split_url(absolute_url(url)))


def prepare(config: Request, run: str) -> Iterator[str]:
    """Make the missing buckets of a request and configure all by their roles; yields a line for each change.

    run: URL of the run's root.

    Raises:
        UserError: names all buckets that cannot be made or must not be changed, before anything is done.
    """
    requested = config.make_buckets
    if requested.location is None:
        return
    places = [_place(role, url) for role, url in (("run", run), *config.buckets) if url]
    ours = {p.bucket: _ours(p.bucket) for p in places if p.google}
    if problems := [*_unmet(requested, places), *_refused(places, ours), *_exposed(config, places)]:
        raise UserError.all("the buckets of this request cannot be made and set:", problems)
    for name in (n for n, there in ours.items() if there is None):
        roles = {p.role for p in places if p.bucket == name}
        _make(name, requested.location, config.project, temporary=roles == {"temporary"})
        yield f"gs://{name} was made in {requested.location} ({', '.join(sorted(roles))})"
    yield from _set(requested, {p.role: p for p in places})


def _ours(name: str) -> bool | None:
    """Whether a bucket has our label; None if there is no such bucket."""
    try:
        return Bucket(name).ours()
    except MissingBucket:
        return None


def _unmet(requested: MakeBuckets, places: Sequence[_Place]) -> Iterator[str]:
    roles = {p.role for p in places}
    for key, role in NEEDED.items():
        if getattr(requested, key) and role not in roles:
            yield f"make_buckets.{key}: needs a bucket in buckets.{role}"


def _refused(places: Sequence[_Place], ours: Mapping[str, bool | None]) -> Iterator[str]:
    """Roles in other stores, in somebody's bucket, or in one that nobody can make."""
    for place in places:
        role, name = f"buckets.{place.role}", place.bucket
        if not place.google and place.role != "run":
            yield f"{role} {place.url}: only buckets of Google Cloud Storage are made (gs://)"
        elif ours.get(name) is False and place.role != "run":
            yield f"{role} gs://{name}: {FOREIGN}"
        elif place.google and ours[name] is None:
            yield from (f"gs://{name}: {problem}" for problem in reserved(name))


def _exposed(config: Request, places: Sequence[_Place]) -> Iterator[str]:
    """What else everybody could read."""
    public = [p.bucket for p in places if p.role == "viewer" and config.make_buckets.public]
    for place in (*places, _place("source", find_source(config.source))):
        if place.role != "viewer" and place.google and place.bucket in public:
            yield f"make_buckets.public: the bucket of buckets.viewer also holds {place.role} {place.url}"


def _make(name: str, location: str, project: str | None, temporary: bool) -> None:
    try:
        Bucket(name).make(location, project, temporary)
    except StoreError:
        # another runner of the same request was quicker
        if not _ours(name):
            raise


def _set(requested: MakeBuckets, places: Mapping[str, _Place]) -> Iterator[str]:
    if viewer := places.get("viewer"):
        Bucket(viewer.bucket).allow_pages()
        if requested.public:
            yield Bucket(viewer.bucket).publish()
    if requested.expire_days is not None:
        at = places["temporary"]
        yield Bucket(at.bucket).expire(at.prefix, requested.expire_days)
    if requested.archive_days is not None:
        at = places["lossless"]
        Bucket(at.bucket).archive(COLD, at.prefix, requested.archive_days)
        yield f"{absolute_url(at.url)}: after {requested.archive_days} days {price_of(COLD)}"
