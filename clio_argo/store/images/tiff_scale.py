"""Voxel size and position of the stage, as microscopes, OME, ImageJ and the standard itself write them into TIFF."""

import html
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tifffile import TiffFile, TiffTag

from clio_argo.model.voxel_size import Nm3, nanometres
from clio_argo.store.images.orientation import is_sideways
from clio_argo.store.images.tiff_pages import orientation

Stage = tuple[float, float]
# of a tag of a microscope; real ones have 60 kB
MOST_BYTES = 2**20
SMARTSEM, FEI = (34118,), (34682, 34680)  # registered by Zeiss and FEI
# a name, and in the line below it what it means, its value and its unit
SEM_VALUE = re.compile(
    rb"^AP_((?:IMAGE_)?PIXEL_SIZE|STAGE_AT_[XY])\r?\n[^=\r\n]*=[ \t]*([-+.\deE]{1,30})[ \t]*([^\s]{1,30})", re.MULTILINE
)
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296  # TIFF 6.0, section 8
STAGE_DIGITS = 12  # of a metre: picometres
# values of ResolutionUnit; 2 where the tag is missing
UNITS = {2: "inch", 3: "cm"}


class Scale(NamedTuple):
    """What a file says of its voxels and its stage, and by what. NaN or 0: it does not say."""

    by: str
    voxel: Nm3
    stage: Stage = (math.nan, math.nan)


def scale(tiff: TiffFile) -> dict[str, Any]:
    """The fields of a `Header` that tell voxel size and position of the stage, by the first page of a file."""
    for read in (_smartsem, _fei, _ome, _imagej, _standard):
        try:
            found = read(tiff)
        # metadata are damaged in many ways, and no picture is lost by it
        except Exception:  # noqa: BLE001
            continue
        if found is not None and found.voxel[0] > 0:
            return _fields(found, is_sideways(orientation(tiff.pages.first)))
    return {}


def _fields(found: Scale, sideways: bool) -> dict[str, Any]:
    x, y, z = (v if 0 < v < math.inf else 0.0 for v in found.voxel)
    stage = found.stage if all(map(math.isfinite, found.stage)) else None
    return {"voxel_nm": (y, x, z) if sideways else (x, y, z), "voxel_by": found.by, "stage_nm": stage}


def _tag(tiff: TiffFile, codes: tuple[int, ...]) -> TiffTag:
    """The first tag of these. Raises `StopIteration` without one."""
    tags = (tiff.pages.first.tags.get(code) for code in codes)
    return next(tag for tag in tags if tag is not None and tag.count <= MOST_BYTES)


def _smartsem(tiff: TiffFile) -> Scale | None:
    tag = _tag(tiff, SMARTSEM)
    tiff.filehandle.seek(tag.valueoffset)
    # tifffile reads a thousand values, in 2.5 ms, and takes minutes for a tag of other lines
    lines = SEM_VALUE.findall(tiff.filehandle.read(tag.count))
    said = {name: nanometres(number.decode(), unit.decode("cp1252"), STAGE_DIGITS) for name, number, unit in lines}
    # that of the picture differs from that of the scan where it was stored smaller
    side = said.get(b"IMAGE_PIXEL_SIZE") or said[b"PIXEL_SIZE"]
    x, y = (said.get(name, math.nan) for name in (b"STAGE_AT_X", b"STAGE_AT_Y"))
    return Scale("SmartSEM", (side, side, 0.0), (x, y))


def _fei(tiff: TiffFile) -> Scale | None:
    said: Mapping[str, Any] = _tag(tiff, FEI).value
    scan, stage = said.get("Scan") or said["EScan"], said.get("Stage", {})
    x, y = (nanometres(scan.get(key), "m") for key in ("PixelWidth", "PixelHeight"))
    at_x, at_y = (nanometres(stage.get(key), "m", STAGE_DIGITS) for key in ("StageX", "StageY"))
    return Scale("FEI / Thermo", (x, y, 0.0), (at_x, at_y))


def _ome(tiff: TiffFile) -> Scale | None:
    # of the first image: its element alone, since the whole text may have megabytes
    pixels = re.search(r"<(?:\w+:)?Pixels\b[^>]*>", tiff.ome_metadata or "") if tiff.is_ome else None
    if pixels is None:
        return None
    sizes = re.findall(r"\bPhysicalSize([XYZ](?:Unit)?)\s*=\s*[\"']([^\"']*)", pixels[0])
    said = {axis: html.unescape(text) for axis, text in sizes}
    x, y, z = (nanometres(said.get(axis), said.get(f"{axis}Unit", "µm")) for axis in "XYZ")
    return Scale("OME", (x, y, z))


def _imagej(tiff: TiffFile) -> Scale | None:
    said = (tiff.imagej_metadata or {}) if tiff.is_imagej else {}
    units = [said.get(key, said["unit"]) for key in ("unit", "yunit", "zunit")]
    sides = (_side(tiff, X_RESOLUTION), _side(tiff, Y_RESOLUTION), said.get("spacing"))
    x, y, z = (nanometres(side, unit) for side, unit in zip(sides, units, strict=True))
    return Scale("ImageJ", (x, y, z))


def _standard(tiff: TiffFile) -> Scale | None:
    unit = UNITS.get(tiff.pages.first.tags.valueof(RESOLUTION_UNIT, 2))
    x, y = (nanometres(_side(tiff, tag), unit) for tag in (X_RESOLUTION, Y_RESOLUTION))
    return Scale("TIFF resolution", (x, y, 0.0))


def _side(tiff: TiffFile, tag: int) -> float:
    """Side of a pixel in the file's unit. Raises `ZeroDivisionError` or `TypeError` without one."""
    pixels, units = tiff.pages.first.tags.valueof(tag)
    return float(units / pixels)
