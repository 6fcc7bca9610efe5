"""How the values of files become grey values where they are no unsigned integers of 8 or 16 bits."""

import math
import sys
from collections.abc import Iterator, Mapping
from typing import Literal, Self

from pydantic import Field

from clio_argo.model.base import Value

Dtype = Literal["uint8", "uint16"]
# bytes of a grey value
ITEMSIZE: dict[Dtype, int] = {"uint8": 1, "uint16": 2}
# types of values that are read, and of the grey values that they become
READ: Mapping[str, Dtype] = {
    "uint8": "uint8", "uint16": "uint16", "int8": "uint8", "int16": "uint16", "int32": "uint16", "uint32": "uint16",
    "float16": "uint16", "float32": "uint16", "float64": "uint16",
}  # fmt: skip
# these fit as they are, above the lowest value of their type
LOWEST = {"int8": -128.0, "int16": -32768.0}
# of uint16, which volumes hold
LEVELS = 2**16
# of these, at most so many for what the slices hold that were looked at: others may be twice as bright or dark
USED = LEVELS / 2
# of values that are the ends of a range: what is computed from them stays a number
LARGEST = 1e300


class ValueMap(Value):
    """A value v becomes the grey value (v - low) / step, rounded to the nearest, and clipped where there is none."""

    type_name: str = Field(description="Type of the values of the files: int16, float32.")
    low: float = Field(description="Value that becomes 0.")
    step: float = Field(1.0, description="Difference of two values that are one grey level apart.")

    @classmethod
    def of(cls, type_name: str) -> Self | None:
        """How values of a type are read that nothing else is known of; None: as they are."""
        return None if type_name == READ[type_name] else cls(type_name=type_name, low=LOWEST.get(type_name, 0.0))

    @property
    def dtype(self) -> Dtype:
        """Type of the grey values."""
        return READ[self.type_name]

    @property
    def top(self) -> int:
        """Largest grey value."""
        return 255 if self.dtype == "uint8" else LEVELS - 1

    @property
    def fits(self) -> bool:
        """Whether no value of the type is rounded or clipped."""
        return self.type_name in LOWEST and self == ValueMap.of(self.type_name)

    @property
    def text(self) -> str:
        """Which values become which grey values, in words."""
        if self.step != 1:
            return f"{self.type_name} from {self.low:.6g} to {self.low + self.step * self.top:.6g} as 0 to {self.top}"
        moved = f" {'+' if self.low < 0 else '-'} {abs(self.low):,.15g}" if self.low else ""
        return f"{self.type_name}{moved}"

    @property
    def plan_text(self) -> str:
        """The same before a run, with whether values can be lost."""
        if self.fits:
            return f"{self.text}, nothing is lost"
        if self.step == 1:
            ends = f"{self.low:,.15g} to {self.low + self.top:,.15g}"
            return f"{self.text}; fractions would be rounded, and values beyond {ends} clipped"
        return f"{self.text}; rounded, and clipped beyond (value_window sets others)"


class StackValues(Value):
    """What became of the values of a stack."""

    map: ValueMap
    exact: bool = Field(description="Whether all values were kept: none was rounded or clipped.")
    clipped: dict[int, float] = Field({}, description="Fraction of its values that were clipped, of each such slice.")

    @property
    def note(self) -> str:
        """What became of the values, as a sentence without a full stop."""
        kept = "none was lost" if self.exact else "they were rounded or clipped, so that aligned/ is not lossless"
        return "; ".join([f"grey values were made of {self.map.text}: {kept}", *self._clipped()])

    def _clipped(self) -> Iterator[str]:
        if self.clipped:
            z = max(self.clipped, key=lambda z: self.clipped[z])
            yield f"slices with clipped values: {len(self.clipped)}, most in z {z} ({self.clipped[z]:.2%})"


def stretched(low: float, high: float, top: int) -> tuple[float, float]:
    """`low` and `step` with which `low` becomes 0 and `high` becomes `top`."""
    return low, max((high - low) / top, sys.float_info.min)


def own_range(low: float, high: float, whole: bool) -> tuple[float, float]:
    """`low` and `step` for a stack of which some slices hold values from `low` to `high`, with room on both sides.

    whole: all of them are whole numbers. Where these fit into 16 bits they are shifted only, if they can stay as
    they are not even that.
    """
    low, high, step = max(low, -LARGEST), min(high, LARGEST), 1.0
    if not (whole and high - low < LEVELS):
        # a power of two, so that other slices with nearly the same range give the same
        step = math.ldexp(1.0, math.frexp(high / USED - low / USED)[1])
    else:
        for begin in (0.0, LOWEST["int16"]):
            if begin <= low and high < begin + LEVELS:
                return begin, step
    room = int((LEVELS - 1) / 2 - (high / 2 - low / 2) / step)
    grid = step * 2 ** max(0, room.bit_length() - 2)
    return grid * math.ceil((low - room * step) / grid), step
