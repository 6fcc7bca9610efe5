"""What the report shows."""

from pydantic import Field

from clio_argo.model.alignment import SliceStatistics, Transforms
from clio_argo.model.base import Value
from clio_argo.model.plan import Plan
from clio_argo.model.quality import Quality
from clio_argo.model.request import Request
from clio_argo.model.run import Costs, Gate, SourceChanges
from clio_argo.model.volume import VolumeSpec


class Picture(Value):
    """A view of the stack; file names are relative to the report. XZ and YZ have z downwards."""

    title: str = Field(description="XY, XZ or YZ.")
    caption: str
    before: str | None
    after: str | None


class ReportData(Value):
    """Everything that `report.html` says. A report made before the volume exists has no `volume`."""

    request: Request
    plan: Plan
    transforms: Transforms
    statistics: tuple[SliceStatistics, ...] = Field(description="One per decoded slice, ordered by z.")
    volume: VolumeSpec | None = None
    status: str = Field(description="complete, complete_with_flags, aligned, or why the run stopped.")
    gates: tuple[Gate, ...] = ()
    quality: Quality | None = Field(None, description="Similarity of neighbours in the rendered volume.")
    notes: tuple[str, ...] = Field((), description="What is to be known of the whole volume.")
    source_changes: SourceChanges = SourceChanges()
    costs: Costs | None = Field(None, description="What the stages took; None: nothing was timed.")
    unread_logs: int = Field(0, description="Files under process/logs that could not be read.")
    pictures: tuple[Picture, ...] = ()
    slice_pictures: dict[int, str] = Field({}, description="Pictures of slices that are not good, by z.")
    pattern_picture: str | None = Field(None, description="Picture of what stays in the frame while tissue moves.")
    sizes_bytes: dict[str, int] = Field({}, description="Bytes of each output, by its folder.")
    viewer_url: str | None = Field(
        None, description="URL, or command for a local or private run, that opens the volume in neuroglancer."
    )
    run: str = Field(description="URL of the run's root.")
    version: str
