"""A run as people use it from Python: its documents, its volume as an array, and what `verify` says of it."""

from dataclasses import dataclass
from functools import cached_property

import tensorstore as ts

from clio_argo.errors import UserError
from clio_argo.maintenance.verify import existing_run, verify
from clio_argo.model.alignment import Transforms
from clio_argo.model.layout import COMPLETE, CONFIG, PLAN, QUALITY, REPORT, TRANSFORMS, VOLUME
from clio_argo.model.plan import Plan
from clio_argo.model.progress import Progress
from clio_argo.model.quality import Quality
from clio_argo.model.request import Request
from clio_argo.model.run import Completion, Costs, Mode, Verification
from clio_argo.model.volume import VolumeSpec
from clio_argo.pipeline import PIPELINE, Pipeline
from clio_argo.store.documents import D, Store
from clio_argo.store.volumes import Volumes
from clio_argo.workspace.progress import progress_of
from clio_argo.workspace.reconcile import costs_of


@dataclass(frozen=True, repr=False)
class OpenedRun:
    """One run, finished or not. What is read once is kept; open a run that goes on again to see more."""

    store: Store
    pipeline: Pipeline

    def __repr__(self) -> str:
        """Where it is, and how it ended."""
        ended = self.store.intact(Completion, COMPLETE)
        return f"<clio-argo run {self.url}: {ended.status if ended else 'not complete'}>"

    @property
    def url(self) -> str:
        """Its root, with a slash at the end."""
        return self.store.url

    @cached_property
    def request(self) -> Request:
        """What was asked for. Raises `UserError`, as all documents do, if it is not there yet or damaged."""
        return self._document(Request, CONFIG)

    @cached_property
    def plan(self) -> Plan:
        """What the source holds."""
        return self._document(Plan, PLAN)

    @cached_property
    def transforms(self) -> Transforms:
        """Where every slice lies, its verdict, and all fits."""
        return self._document(Transforms, TRANSFORMS)

    @cached_property
    def completion(self) -> Completion:
        """How the run ended."""
        return self._document(Completion, COMPLETE)

    @cached_property
    def quality(self) -> Quality:
        """Similarity of neighbouring planes in the volume."""
        return self._document(Quality, QUALITY)

    @cached_property
    def progress(self) -> Progress:
        """What is done, when that was done, and the time that the rest takes."""
        return progress_of(self.store, self.pipeline)

    @cached_property
    def costs(self) -> Costs:
        """What the stages were expected to take, and took so far."""
        return costs_of(self.store)

    @property
    def link(self) -> str:
        """URL, or command for a local or private run, that opens the volume in neuroglancer."""
        return self.completion.link

    @property
    def report(self) -> str:
        """URL of the report's page."""
        return self.store.url_of(REPORT)

    def verify(self, mode: Mode = "default") -> Verification:
        """Compare the run with its manifest, as `clio_argo.verify` does."""
        return verify(self.store, mode, pipeline=self.pipeline)

    def volume(self, scale: int = 0, channel: int = 0, viewer: bool = False) -> ts.TensorStore:
        """The volume [z, y, x] at a scale, in voxels of that scale; z of scale 0 counts as the slices do.

        Nothing is loaded before it is read: `run.volume()[3510, 100:200, 100:200].read().result()`.

        channel: of the lossless volume, or layer of the viewer's, which is [c, z, y, x] where it has three channels.
        viewer: the viewer volume, 8 bit and JPEG; else the lossless one.

        Raises:
            UserError: the run has no such scale or channel, or keeps no lossless volume.
        """
        if not viewer and self.completion.aligned is None:
            raise UserError(f"{self.url}: its lossless volume was not kept; use volume(viewer=True)")
        spec = self._shapes
        self._refuse_other("scale", scale, spec.ng_scales if viewer else range(len(spec.scales)))
        self._refuse_other("channel", channel, range(len(spec.layers) if viewer else max(1, len(spec.channels))))
        volumes = Volumes(self.store, spec)
        return volumes.viewer(scale, channel) if viewer else volumes.aligned(scale, channel)

    def resolution(self, scale: int = 0) -> tuple[float, float, float]:
        """Size of a voxel (z, y, x) at a scale, in nm. Raises `UserError` if the run has no such scale."""
        self._refuse_other("scale", scale, range(len(self._shapes.scales)))
        return self._shapes.scales[scale].resolution

    @cached_property
    def _shapes(self) -> VolumeSpec:
        return self._document(VolumeSpec, VOLUME)

    def _refuse_other(self, what: str, number: int, known: range) -> None:
        if number not in known:
            raise UserError(f"{self.url}: has no {what} {number}, only {known.start} to {known.stop - 1}")

    def _document(self, kind: type[D], name: str) -> D:
        if (found := self.store.find_document(kind, name)) is None:
            raise UserError(f"{self.store.url_of(name)} does not exist: the run has not come so far")
        return found


def open(run: str, pipeline: Pipeline = PIPELINE) -> OpenedRun:  # noqa: A001 - as numpy and tensorstore call it
    """The run at a path or URL, which `pipeline` made.

    Raises:
        UserError: there is no run, it leads to other places, or another pipeline made it.
    """
    return OpenedRun(existing_run(run, pipeline), pipeline)
