"""Options that several commands share, and how they become a request."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from clio_argo.errors import UserError
from clio_argo.model.config import IngestConfig
from clio_argo.model.request import build_config, parse_setting, parse_text

Config = Annotated[
    Path | None,
    typer.Argument(
        help="Request as YAML or JSON (see docs/reference/request.schema.json).", show_default=False
    ),
]
SourceFlag = Annotated[
    str | None, typer.Option("--source", help="Folder, multi-page TIFF or bucket with the slices.")
]
ImageFlag = Annotated[str | None, typer.Option("--image", help="File name pattern, e.g. 'iso.%05d.png'.")]
MinFlag = Annotated[int | None, typer.Option("--minz", help="First slice, inclusive.")]
MaxFlag = Annotated[int | None, typer.Option("--maxz", help="Last slice, inclusive.")]
ResolutionFlag = Annotated[
    str | None, typer.Option("--resolution", help="Voxel size in nm: one number, or x,y,z.")
]
BadFlag = Annotated[
    int | None,
    typer.Option(
        "--allow-bad-slices", help="Go on with up to N bad or missing slices, replaced by neighbours."
    ),
]
SetFlag = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting, e.g. contrast.clip_limit=0. Can be repeated.")
]


def request(
    config: Path | None,
    source: str | None,
    image: str | None,
    minz: int | None,
    maxz: int | None,
    resolution: str | None,
    bad: int | None,
    settings: list[str] | None,
) -> IngestConfig:
    """The request of a file, overridden by flags, overridden by --set."""
    if config is None and source is None:
        raise UserError("give a request file or --source FOLDER")
    flags = {
        "source": source,
        "image": image,
        "minz": minz,
        "maxz": maxz,
        "resolution": numbers(resolution) if resolution else None,
        "max_bad": bad,
    }
    layers: list[dict[str, Any]] = [{"id": default_id(config, source)}]
    layers += [read_request(config)] if config else []
    layers.append({k: v for k, v in flags.items() if v is not None})
    return build_config(*layers, *(parse_setting(s) for s in settings or []))


def read_request(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UserError(f"{path}: cannot be read: {reason}") from error
    return parse_text(text, str(path))


def numbers(text: str) -> list[float] | float:
    try:
        found = [float(v) for v in text.split(",")]
    except ValueError as error:
        raise UserError(f"--resolution {text}: expected one number or x,y,z in nm") from error
    return found[0] if len(found) == 1 else found


def default_id(config: Path | None, source: str | None) -> str:
    """A name from the request's file or the source's last folder."""
    name = config.stem if config else Path(source or "").name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "volume"
