"""Options that several commands share, and how they become a request."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from clio_argo.errors import UserError
from clio_argo.model.config import IngestConfig
from clio_argo.model.request import build_config, parse_setting, parse_text


def request(
    config: Annotated[
        Path | None,
        typer.Argument(
            help="Request as YAML or JSON (see docs/reference/request.schema.json).", show_default=False
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Folder, multi-page TIFF or bucket with the slices.")
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", help="File name pattern, e.g. 'iso.%05d.png'.")
    ] = None,
    minz: Annotated[int | None, typer.Option("--minz", help="First slice, inclusive.")] = None,
    maxz: Annotated[int | None, typer.Option("--maxz", help="Last slice, inclusive.")] = None,
    resolution: Annotated[
        str | None, typer.Option("--resolution", help="Voxel size in nm: one number, or x,y,z.")
    ] = None,
    allow_bad_slices: Annotated[
        int | None,
        typer.Option(
            "--allow-bad-slices", help="Go on with up to N bad or missing slices, replaced by neighbours."
        ),
    ] = None,
    overrides: Annotated[
        str | None, typer.Option("--overrides", help="YAML file with a person's verdicts and links.")
    ] = None,
    transforms: Annotated[
        str | None,
        typer.Option(
            "--transforms", help="transforms.json or .csv of another run or tool, instead of aligning."
        ),
    ] = None,
    update: Annotated[
        bool,
        typer.Option("--update", help="Take over a run of another request; only what differs is done again."),
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting, e.g. contrast.clip_limit=0. Can be repeated."),
    ] = None,
) -> IngestConfig:
    """The request of a file, overridden by flags, overridden by --set."""
    if config is None and source is None:
        raise UserError("give a request file or --source FOLDER")
    flags = {
        "source": source,
        "image": image,
        "minz": minz,
        "maxz": maxz,
        "resolution": resolution,
        "max_bad": allow_bad_slices,
        "overrides": overrides,
        "transforms": transforms,
        "update": update or None,
    }
    layers: list[dict[str, Any]] = [{"id": default_id(config, source)}]
    layers += [read_request(config)] if config else []
    layers.append({k: v for k, v in flags.items() if v is not None})
    return build_config(*layers, *(parse_setting(s) for s in settings or []))


def takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """A command that gets the request as `wanted`, and the options of `request` instead of it.

    Typer reads options off a signature, so that the new one has both: those of the request, then the command's own.
    """
    theirs = inspect.signature(request).parameters
    own = [p for name, p in inspect.signature(command).parameters.items() if name != "wanted"]

    @wraps(command)
    def with_options(**given: Any) -> None:
        command(wanted=request(**{name: given.pop(name) for name in theirs}), **given)

    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in (*own, *theirs.values())]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return with_options


def read_request(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UserError(f"{path}: cannot be read: {reason}") from error
    return parse_text(text, str(path))


def default_id(config: Path | None, source: str | None) -> str:
    """A name from the request's file or the source's last folder."""
    name = config.stem if config else Path(source or "").name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "volume"
