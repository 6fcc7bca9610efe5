"""Buckets of Google Cloud Storage: commands make, show and change them, never a pod of a run."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from clio_argo.errors import UserError
from clio_argo.model.base import counted
from clio_argo.model.buckets import reserved
from clio_argo.store.backends import gcs
from clio_argo.store.faults import store_errors

LABELS = {"made-by": "clio-argo"}
UNLABELLED = "has no label made-by=clio-argo, so somebody else made it"
READERS, EVERYBODY = "roles/storage.objectViewer", "allUsers"
# what neuroglancer's pages send and read, from wherever they are served
CORS = [
    {"origin": ["*"], "method": ["GET", "HEAD"], "responseHeader": ["Content-Type", "Range"], "maxAgeSeconds": 3600}
]
# requests that are under way at once while a bucket is emptied: each is answered after tens of milliseconds
DELETIONS = 16
# a page of a listing; blobs of one batch are held in memory
BATCH = 1000
DAY_S = 86400  # 24 x 60 x 60


@dataclass(frozen=True)
class Facts:
    """A bucket as it is.

    uniform: whether access is granted for the whole bucket only.
    prevention: public access prevention, `enforced` or `inherited`.
    rules: lifecycle rules. soft_delete_days: how long deleted objects are kept, and billed.
    ours: whether it has our label.
    """

    location: str
    storage_class: str
    uniform: bool
    prevention: str
    public: bool
    cors: Sequence[Mapping[str, Any]]
    rules: Sequence[Mapping[str, Any]]
    soft_delete_days: float
    ours: bool


class Bucket:
    """The bucket `name`; every call raises what the store refuses as an error that names it."""

    def __init__(self, name: str) -> None:
        self.name = name.removeprefix("gs://").rstrip("/")
        if problems := gcs.GCS.bucket_problems(self.name):
            raise UserError.all(f"bucket {self.name!r}: Google Cloud Storage refuses this name:", problems)

    @contextmanager
    def _bucket(self) -> Iterator[Any]:
        with self._errors():
            yield gcs.client().get_bucket(self.name, **gcs.patience())

    def _errors(self) -> AbstractContextManager[None]:
        return store_errors(f"gs://{self.name}", "", "administer")

    def make(self, location: str, project: str | None = None, temporary: bool = False) -> None:
        """Make a private bucket with uniform access and our label.

        temporary: without soft delete, so that what is deleted is not billed for a week more.
        """
        if problems := reserved(self.name):
            raise UserError.all(f"bucket {self.name!r}:", problems)
        with self._errors():
            client = gcs.client()
            bucket = client.bucket(self.name)
            bucket.labels = LABELS
            bucket.iam_configuration.uniform_bucket_level_access_enabled = True
            bucket = client.create_bucket(bucket, location=location, project=project)
            if temporary:
                bucket.soft_delete_policy.retention_duration_seconds = 0
            bucket.labels = LABELS
            bucket.patch(**gcs.patience())

    def ours(self) -> bool:
        """Whether it has our label."""
        with self._bucket() as bucket:
            return _labelled(bucket)

    def refuse_foreign(self, what: str) -> None:
        """Raise `UserError`, which says `what` was not done, if somebody else made it."""
        if not self.ours():
            raise UserError(f"gs://{self.name}: {UNLABELLED}; {what}")

    def facts(self) -> Facts:
        """Where it is, who may read it, and what happens to its objects."""
        with self._bucket() as bucket:
            iam, soft_delete_s = bucket.iam_configuration, bucket.soft_delete_policy.retention_duration_seconds
            return Facts(
                location=bucket.location,
                storage_class=bucket.storage_class,
                uniform=iam.uniform_bucket_level_access_enabled,
                prevention=iam.public_access_prevention or "inherited",
                public=any(EVERYBODY in b["members"] for b in self._policy(bucket).bindings),
                cors=bucket.cors,
                rules=list(bucket.lifecycle_rules),
                soft_delete_days=(soft_delete_s or 0) / DAY_S,
                ours=_labelled(bucket),
            )

    def members(self) -> set[str]:
        """Everybody to whom a role on the bucket itself is granted."""
        with self._bucket() as bucket:
            return {member for binding in self._policy(bucket).bindings for member in binding["members"]}

    def _policy(self, bucket: Any) -> Any:
        return bucket.get_iam_policy(requested_policy_version=3, **gcs.patience())

    def publish(self) -> str:
        """Let everybody read it and web pages show it; returns a line that says so.

        Raises:
            UserError: public access is prevented.
        """
        self.unpublish()
        with self._bucket() as bucket:
            if bucket.iam_configuration.public_access_prevention == "enforced":
                raise UserError(
                    f"gs://{self.name}: public access prevention is enforced, by its owner or organisation; it stays "
                    "private. Grant single people or groups roles/storage.objectViewer instead"
                )
            policy = self._policy(bucket)
            policy.bindings.append({"role": READERS, "members": {EVERYBODY}})
            bucket.set_iam_policy(policy, **gcs.patience())
        self.allow_pages()
        return f"everybody can read gs://{self.name}; clio-argo bucket unpublish {self.name} ends it"

    def unpublish(self) -> None:
        """Remove the public's access; people and groups that were granted access keep it."""
        with self._bucket() as bucket:
            policy = self._policy(bucket)
            policy.bindings = [
                {**b, "members": named} for b in policy.bindings if (named := set(b["members"]) - {EVERYBODY})
            ]
            bucket.set_iam_policy(policy, **gcs.patience())

    def allows_pages(self) -> bool:
        """Whether it has rules (CORS) by which pages of other sites may read it."""
        with self._bucket() as bucket:
            return bool(bucket.cors)

    def allow_pages(self) -> None:
        """Set CORS, so that neuroglancer's pages read what their user may read."""
        with self._bucket() as bucket:
            bucket.cors = CORS
            bucket.patch(**gcs.patience())

    def expire(self, prefix: str, days: int) -> str:
        """Have objects with this prefix deleted after some days; returns a line that says so. Other rules stay."""
        self._set_rule({"type": "Delete"}, prefix, days)
        return f"gs://{self.name}/{prefix}: objects are deleted when they are {counted(days, 'day')} old"

    def archive(self, storage_class: str, prefix: str, days: int) -> None:
        """Have objects with this prefix moved to a colder class after some days. Other rules stay."""
        self._set_rule({"type": "SetStorageClass", "storageClass": storage_class}, prefix, days)

    def _set_rule(self, action: Mapping[str, str], prefix: str, days: int) -> None:
        """Set a lifecycle rule in place of the one with this type of action and prefix."""
        condition = {"age": days, **({"matchesPrefix": [prefix]} if prefix else {})}
        replaced = (action["type"], condition.get("matchesPrefix"))
        with self._bucket() as bucket:
            rules = bucket.lifecycle_rules
            others = [r for r in rules if (r["action"]["type"], r["condition"].get("matchesPrefix")) != replaced]
            bucket.lifecycle_rules = [*others, {"action": action, "condition": condition}]
            bucket.patch(**gcs.patience())

    def delete(self, typed: str) -> int:
        """Delete a bucket with our label and all its objects; returns their number.

        typed: the name as a person typed it to confirm.
        """
        self.refuse_foreign("not deleted")
        if typed != self.name:
            raise UserError(f"gs://{self.name}: {typed!r} is not its name; nothing was deleted")
        with self._bucket() as bucket, ThreadPoolExecutor(DELETIONS) as threads:
            blobs, count = iter(bucket.list_blobs(**gcs.patience())), 0
            while batch := list(islice(blobs, BATCH)):
                count += len(list(threads.map(lambda b: b.delete(**gcs.patience()), batch)))
            bucket.delete(**gcs.patience())
        return count


def _labelled(bucket: Any) -> bool:
    return LABELS.items() <= dict(bucket.labels).items()


def list_buckets(project: str | None) -> dict[str, str]:
    """Buckets of a project that this program made, and where they are. Raises `ClioError` if they cannot be listed."""
    with store_errors(f"{gcs.GCS.scheme}://", "", "administer"):
        buckets = list(gcs.client().list_buckets(project=project, **gcs.patience()))
    return {b.name: b.location for b in buckets if _labelled(b)}
