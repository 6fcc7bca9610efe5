"""Where the parts of a run lie that are not under its folder, and which buckets are made for them."""

from typing import Self

from pydantic import Field, model_validator

from clio_argo.model.base import Section


class Buckets(Section):
    """Places of a run's own, in other buckets or on other disks, for what would lie under its folder."""

    viewer: str | None = Field(
        None, description="Folder of the viewer volume instead of ng/ under the run: public for all, for example."
    )
    lossless: str | None = Field(None, description="Folder of the lossless volume instead of aligned/.")
    temporary: str | None = Field(
        None,
        description="Folder of what may be deleted after the run, instead of tmp/: a bucket without soft delete, or a "
        "faster disk.",
    )
    process: str | None = Field(None, description="Folder of what its attempts say of themselves, instead of process/.")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        places = list(self.elsewhere().values())
        if len(set(places)) < len(places):
            raise ValueError("each needs a folder of its own")
        return self

    def elsewhere(self) -> dict[str, str]:
        """Folders of a run that lie elsewhere, and where."""
        places = {"ng": self.viewer, "aligned": self.lossless, "tmp": self.temporary, "process": self.process}
        return {folder: place for folder, place in places.items() if place}


class MakeBuckets(Section):
    """Buckets of Google Cloud Storage that `run`, `align` and `submit` make and set before a run begins.

    Only those that are made so, or by `clio-argo bucket make`, are ever changed. Pods need no right to do it.
    """

    location: str | None = Field(
        None,
        description="Region, best that of the cluster, in which the buckets of `buckets` and of the run are made where "
        "they are not there: private, with uniform access. Default: none is made or changed.",
    )
    public: bool = Field(
        False,
        description="Everybody on the internet may read and copy what the bucket of buckets.viewer holds, and you pay "
        "for what they read. It must be this role's alone. false: who has rights in the project.",
    )
    expire_days: int | None = Field(
        None,
        ge=1,
        description="Age in days at which objects of buckets.temporary are deleted; longer than a run may take. "
        "Default: never.",
    )
    archive_days: int | None = Field(
        None,
        ge=1,
        description="Age in days at which objects of buckets.lossless move to COLDLINE, which is cheaper to keep and "
        "costs money to read. Default: never.",
    )

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.location is None and (self.public or self.expire_days or self.archive_days):
            raise ValueError("buckets are made and set only with a location")
        return self
