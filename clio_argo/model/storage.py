"""The parts of a run that lie outside its folder, and the buckets that are made for them."""

from typing import Self

from pydantic import Field, model_validator

from clio_argo.model.base import Section
from clio_argo.model.layout import LOSSLESS, PROCESS, TEMPORARY, VIEWER


class Buckets(Section):
    """Folders in other buckets or on other disks for parts of a run that would lie under the run's own folder."""

    viewer: str | None = None
    """Folder of the viewer volume instead of ng/ under the run, for example in a public bucket."""

    lossless: str | None = None
    """Folder of the lossless volume instead of aligned/ under the run."""

    temporary: str | None = None
    """Folder of what may be deleted after the run, instead of tmp/: in a bucket without soft delete, or on a faster
    disk."""

    process: str | None = None
    """Folder of logs and traces of all attempts, instead of process/ under the run."""

    @model_validator(mode="after")
    def _check_distinct(self) -> Self:
        # a listing could not tell two kinds of objects in one folder apart
        folders = list(self.elsewhere().values())
        if len(set(folders)) < len(folders):
            raise ValueError("each needs a folder of its own")
        return self

    def elsewhere(self) -> dict[str, str]:
        """The folders that lie outside the run, by their names under the run's root."""
        folders = {VIEWER: self.viewer, LOSSLESS: self.lossless, TEMPORARY: self.temporary, PROCESS: self.process}
        return {name: folder for name, folder in folders.items() if folder}


class MakeBuckets(Section):
    """Buckets of Google Cloud Storage that `run`, `align` and `submit` make and configure before a run begins.

    Only buckets made in this way, or by `clio-argo bucket make`, are ever changed. Pods need no right to do it.
    """

    location: str | None = None
    """Region in which the buckets of the run and of the section buckets are made if they do not exist: private, with
    uniform access. The cluster's region is best. Default: no bucket is made or changed."""

    public: bool = False
    """Let everybody on the internet read and copy the bucket of buckets.viewer; you pay for what they read. The bucket
    must hold nothing but the viewer volume. Default false: only those with rights in the project can read it."""

    expire_days: int | None = Field(None, ge=1)
    """Age in days at which objects of buckets.temporary are deleted; it must exceed the time that a run takes. Default:
    never."""

    archive_days: int | None = Field(None, ge=1)
    """Age in days at which objects of buckets.lossless move to COLDLINE, which is cheaper to keep and costs money to
    read. Default: never."""

    @model_validator(mode="after")
    def _check_location(self) -> Self:
        if self.location is None and (self.public or self.expire_days or self.archive_days):
            raise ValueError("buckets are made and set only with a location")
        return self
