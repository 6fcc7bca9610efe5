"""Parts of files and of the canvas that a request names: spans of pixels and of slices."""

from typing import Annotated

from pydantic import AfterValidator, Field

from clio_argo.model.base import Section

# nine digits, as many as `numbering` accepts in a file name
MAX_Z = 999_999_999


def _check_order(value: tuple[int, int]) -> tuple[int, int]:
    if value[0] > value[1]:
        raise ValueError("the first value is above the last")
    return value


Span = Annotated[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(le=MAX_Z)]], AfterValidator(_check_order)]
Z = Annotated[int, Field(ge=-MAX_Z, le=MAX_Z)]


class Crop(Section):
    """The part of the canvas that is written: first and last value of each axis, both inclusive. Default: all of it."""

    x: Span | None = None
    """First and last column of the canvas in full-size pixels. Default: all columns."""

    y: Span | None = None
    """First and last row of the canvas in full-size pixels. Default: all rows."""

    z: Annotated[tuple[Z, Z], AfterValidator(_check_order)] | None = None
    """First and last slice number; all slices from minz to maxz are aligned. Default: all slices."""


class SourceCrop(Section):
    """The part of every file that is used, in pixels of the file, before anything else; transforms stay in pixels of
    the file. With either axis no data bar is looked for. Default: all of it but a data bar.
    """

    x: Span | None = None
    """First and last column, both inclusive. Default: all columns."""

    y: Span | None = None
    """First and last row, both inclusive. Default: all rows, but for a data bar at the bottom that nine of ten slices
    have: constant rows with text."""


class Rectangle(Section):
    """A rectangle of every file, in pixels of the file; first and last value of each axis, both inclusive."""

    x: Span
    """First and last column."""

    y: Span
    """First and last row."""

    def __str__(self) -> str:
        return f"x {self.x[0]} to {self.x[1]}, y {self.y[0]} to {self.y[1]}"
