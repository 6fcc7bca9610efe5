"""What a page shows of each run: its name there, the layers of its volume, and the view that a person sees first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import BaseModel, Field

from clio_argo.errors import UserError
from clio_argo.model.layout import INFO
from clio_argo.model.volume import VolumeSpec
from clio_argo.viewer.channels import volume_layers
from clio_argo.viewer.objects import Objects
from clio_argo.viewer.url import neuroglancer_state

_MOST_INFO_BYTES = 2**20  # a scale takes half a kilobyte
_Voxels = Annotated[float, Field(allow_inf_nan=False, ge=-1e12, le=1e12)]
_Sides = Annotated[int, Field(gt=0, lt=1e12)]
_Nm = Annotated[float, Field(ge=1e-6, le=1e12)]


class _Scale(BaseModel):
    """What a view needs of a scale in `info`."""

    size: tuple[_Sides, _Sides, _Sides]
    resolution: tuple[_Nm, _Nm, _Nm]
    voxel_offset: tuple[_Voxels, _Voxels, _Voxels] = (0, 0, 0)


class _Info(BaseModel):
    """What a view needs of `info`."""

    scales: Annotated[list[_Scale], Field(min_length=1)]


@dataclass(frozen=True)
class Shown:
    """A run on a page.

    volume: the objects of its viewer volume.
    root: the folder of a local run, whose objects are served, too.
    beside: other objects that are served, by the folder of the run below which they are (`views/`; empty: the root).
    slice_nm: thickness of a slice, if the volume's finest scale may have been made of several; None: it was not.
    spec: tells the channels of the volume; None: it is taken for one of grey values.
    """

    name: str
    volume: Objects
    root: Path | None = None
    slice_nm: float | None = None
    spec: VolumeSpec | None = None
    beside: Mapping[str, Objects] = field(default_factory=dict)

    def view(self, z: int | None = None) -> dict[str, Any]:
        """Position, resolution and size of the finest scale, as `neuroglancer_state` takes them.

        z: number of the slice to begin with; None: the middle one.
        Raises `UserError` if there is no volume, if its `info` is none, or if it has no such slice.
        """
        data = self.volume.read(INFO, _MOST_INFO_BYTES)
        if data is None:
            raise UserError(f"No viewer volume to show: {self.volume}/{INFO} is not there.")
        try:
            scale = _Info.model_validate_json(data).scales[0]
        except ValueError as error:
            raise UserError(f"Not the info of a precomputed volume: {self.volume}/{INFO}.") from error
        position = [begin + n // 2 + 0.5 for begin, n in zip(scale.voxel_offset, scale.size, strict=True)]
        if z is not None:
            position[2] = self._voxel_of(z, scale)
        return {"position_vox": position, "resolution_nm": scale.resolution, "size": scale.size}

    def _voxel_of(self, z: int, scale: _Scale) -> float:
        """Where the centre of slice z lies on the volume's z axis."""
        slices = (self.slice_nm or scale.resolution[2]) / scale.resolution[2]
        first, last = (round(edge / slices) for edge in (scale.voxel_offset[2], scale.voxel_offset[2] + scale.size[2]))
        if not first <= z < last:
            raise UserError(f"--z {z}: {self.name} has the slices {first} to {last - 1}.")
        return (z + 0.5) * slices


def page_state(runs: Sequence[Shown], sources: Sequence[str], z: int | None, layout: str) -> dict[str, Any]:
    """The state of a page with the layers of several runs, each with its source; the first decides what is seen."""
    views = [run.view(z if run is runs[0] else None) for run in runs]
    shown = [volume_layers(run.spec, source, run.name) for run, source in zip(runs, sources, strict=True)]
    layers = [layer for of_run in shown for layer in of_run]
    return neuroglancer_state(sources[0], name=runs[0].name, layout=layout, layers=layers, **views[0])


def layer_names(urls: Sequence[str]) -> list[str]:
    """A name for each run: the last parts of its URL, as many as tell them apart.

    Raises:
        UserError: a run is given twice.
    """
    split = (url.partition("://") for url in urls)
    paths = [(scheme, *unquote(path.strip("/")).split("/")) for scheme, _, path in split]
    for parts in range(1, max(map(len, paths)) + 1):
        names = ["/".join(path[-parts:]) or "volume" for path in paths]
        if len(set(names)) == len(names):
            return names
    twice = next(url for url in urls if urls.count(url) > 1)
    raise UserError(f"{twice}: is given twice")
