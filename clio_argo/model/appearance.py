"""Settings of how grey values are changed and shown."""

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from clio_argo.model.base import Section
from clio_argo.model.regions import Span

Grey = Annotated[float, Field(ge=-1e6, le=1e6)]


def rising(value: tuple[float, float] | None) -> tuple[float, float] | None:
    if value and not value[0] < value[1]:
        raise ValueError("the first value must be below the second")
    return value


def different(value: tuple[str, ...]) -> tuple[str, ...]:
    if len({name.casefold() for name in value}) < len(value):
        raise ValueError("names two channels alike")
    return value


NAME = r"^[^/\\\x00-\x1f]+$"  # such names are part of names of folders
ChannelName = Annotated[str, Field(coerce_numbers_to_str=True, min_length=1, max_length=100, pattern=NAME)]


class ChannelContrast(Section):
    """How grey values of one channel are changed before they are stored."""

    clip_limit: float = Field(0.0, ge=0, le=1)
    """CLAHE clip limit as a fraction of a tile's pixels. Default 0 is off."""

    invert: bool = False
    """Swap black and white. Default: grey values stay."""


class Contrast(Section):
    """How grey values are changed before they are stored."""

    clip_limit: float = Field(0.02, ge=0, le=1)
    """CLAHE clip limit as a fraction of a tile's pixels (tiles of 1024 px); 0 turns CLAHE off. Default 0.02, with which
    FIB-SEM volumes of this kind have been published."""

    invert: bool = False
    """Swap black and white, since backscattered-electron images are often inverted. Default: grey values stay."""

    channels: dict[ChannelName, ChannelContrast] = Field({})
    """CLAHE and inversion of channels by name. Default: clip_limit and invert are for the channel that is aligned, all
    others stay as they are."""

    flicker: int = Field(0, ge=0, le=10_000)
    """Number of slices on either side over which the course of brightness and contrast is taken; each slice is moved to
    that course. Default 0 is off, since flicker can be a finding. 50 preserves changes that take a hundred slices, and
    steps that stay."""


class Viewer(Section):
    """The neuroglancer volume (ng/)."""

    jpeg_quality: int = Field(80, ge=1, le=100)
    """JPEG quality, 1 to 100. Default 80, which preserves membranes at about a tenth of the size."""

    chunk: int = Field(64, ge=16, le=256)
    """Edge of a cubic chunk in voxels, a power of two. Default 64, which neuroglancer loads fastest."""

    window: Annotated[tuple[Grey, Grey], AfterValidator(rising)] | None = None
    """Grey values shown as black and white. Default: 8-bit values are unchanged; 16-bit values use the 0.5 and 99.5
    percentiles over all slices, fixed once for the stack."""

    windows: dict[ChannelName, Annotated[tuple[Grey, Grey], AfterValidator(rising)]] = Field({})
    """Grey values of channels, by name, that are shown as black and full colour. Default: as window."""

    scales: Span | None = None
    """First and last scale of the viewer volume; 0 is full size, and each scale halves the sides of the one before. A
    last scale beyond the coarsest means the coarsest. Default: all. A volume from scale 1 on takes an eighth of the
    space."""

    @field_validator("chunk")
    @classmethod
    def _check_power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError("must be a power of two")
        return value
