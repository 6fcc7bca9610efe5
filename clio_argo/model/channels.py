"""Channels of slices: colours of a picture, detectors, dyes; and where a file holds each of them."""

import operator
from collections.abc import Sequence

from pydantic import Field

from clio_argo.errors import UserError
from clio_argo.model.base import Value, few

RED_GREEN_BLUE = {"red": "ff0000", "green": "00ff00", "blue": "0000ff"}
# white for what is usually EM, then colours that can be told apart where they are added to it
SHOWN_IN = ("ffffff", "00ff00", "ff00ff", "00ffff", "ffff00", "ff0000", "0000ff")
CHANNEL = "{channel}"
"""Stands for the name of a channel in `image`, where each channel has a file of its own."""


class Channel(Value):
    """One channel of a stack."""

    name: str
    colour: str = Field(description="Colour in which a viewer shows it, six hexadecimal digits.")


class ChannelPlace(Value):
    """Where one channel of a slice is: a page of a file, or some of the samples of a page; no file where it is lost."""

    name: str
    page: int = 0
    offset: int = Field(0, description="Byte at which the header of the page begins; 0: it is found by its number.")
    sample: int | None = Field(None, description="Number of the sample of each pixel; None: there is one.")
    alpha: bool = Field(False, description="Whether the last sample is opacity: where it is 0 there is nothing.")
    size_bytes: int
    stamp: str
    fault: str = Field("", exclude_if=operator.not_, description="Why it cannot be used; empty if it can.")


def named(names: Sequence[str], rgb: bool = False) -> tuple[Channel, ...]:
    """Channels by these names; the first three are red, green and blue of a picture if it is `rgb`."""
    own = list(RED_GREEN_BLUE.values()) if rgb else []
    others = (SHOWN_IN[(i + rgb) % len(SHOWN_IN)] for i in range(len(names)))
    return tuple(Channel(name=n, colour=c) for n, c in zip(names, [*own, *others], strict=False))


def index_of(wanted: int | str, names: Sequence[str]) -> int:
    """Number of a channel by its name or number. Raises `UserError` if there is none."""
    numbers = {str(i): i for i in range(len(names))} | {name: i for i, name in enumerate(names)}
    if str(wanted) not in numbers:
        there = few([f"{i}: {name}" for i, name in enumerate(names)]) or "one without a name"
        raise UserError(f"alignment.channel: there is no channel {wanted}; there is {there}")
    return numbers[str(wanted)]
