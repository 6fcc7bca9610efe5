"""The voxel size of a stack: what a request and the headers of its files say, and what is assumed where they do not."""

import math
from collections.abc import Mapping, Sequence
from statistics import mode
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from clio_argo.model.base import few, share

Nm3 = tuple[float, float, float]
"""Voxel size along x, y and z in nm; 0 where it is unknown."""

# an atom has 0.1 nm, a cell 10,000 nm: numbers beyond these are other units, or dots per inch of a printer
LEAST_NM, MOST_NM = 0.1, 10_000.0
# the usual FIB-SEM voxel
ASSUMED_NM: Nm3 = (8.0, 8.0, 8.0)
ASSUMED = "assumed"
# microscopes write three digits or more
TOLERANCE = 0.01
# of a unit as files write it, in lower case
UNITS_NM = {
    "pm": 1e-3, "å": 0.1, "angstrom": 0.1, "nm": 1.0, "nanometer": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3,
    "micron": 1e3, "microns": 1e3, "micrometer": 1e3, "mm": 1e6, "millimeter": 1e6, "cm": 1e7,
    "inch": 2.54e7, "m": 1e9, "meter": 1e9,
}  # fmt: skip


def nanometres(value: object, unit: object, digits: int = 6) -> float:
    """A length in nm, rounded to the six digits of sizes of voxels in files; NaN if its number or its unit is none."""
    try:
        # ImageJ spells the sign for micro as an escape
        factor = UNITS_NM.get(str(unit).strip().lower().replace("\\u00b5", "µ"), math.nan)
        return float(f"{float(str(value)) * factor:.{digits}g}")
    except ValueError:
        return math.nan


def is_plausible(nm: float) -> bool:
    """Whether a number can be the size of a voxel in nm."""
    return LEAST_NM <= nm <= MOST_NM


def _three(value: Any) -> Any:
    if isinstance(value, str):
        try:
            numbers = [float(v) for v in value.split(",")]
        except ValueError as error:
            raise ValueError("expected one number or x,y,z in nm") from error
        value = numbers[0] if len(numbers) == 1 else numbers
    return (value,) * 3 if isinstance(value, int | float) and not isinstance(value, bool) else value


def _plausible(value: Nm3) -> Nm3:
    if wrong := [nm for nm in dict.fromkeys(value) if not is_plausible(nm)]:
        said = " and ".join(f"{nm:g}" for nm in wrong)
        raise ValueError(f"{said} nm? A voxel has {LEAST_NM:g} to {MOST_NM:,.0f} nm; give its size in nm")
    return value


Nm = Annotated[float, WithJsonSchema({"type": "number", "minimum": LEAST_NM, "maximum": MOST_NM})]
Resolution = Annotated[tuple[Nm, Nm, Nm], BeforeValidator(_three), AfterValidator(_plausible)]


class Told(NamedTuple):
    """The voxel size that a file tells, and by what: `ImageJ`, `SmartSEM`."""

    nm: Nm3
    by: str

    @property
    def is_plausible(self) -> bool:
        """Whether x is known, and all that is known can be the size of a voxel."""
        return self.nm[0] > 0 and all(is_plausible(nm) for nm in self.nm if nm)


class VoxelSize(NamedTuple):
    """The voxel size of a stack, where it is from, what a person should know of it, and what is wrong with it."""

    nm: Nm3
    text: str
    warnings: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def voxel_size(given: Nm3 | None, files: Mapping[str, Told]) -> VoxelSize:
    """The voxel size that a request gives, else the usual one of its files, else 8 nm.

    files: what each file tells, by name, in order of z; files that tell nothing usable may be missing.
    """
    told = {name: t for name, t in files.items() if t.is_plausible}
    if not told:
        if given:
            return VoxelSize(given, f"{in_nm(given)}, by the request")
        text = f"{in_nm(ASSUMED_NM)} is {ASSUMED}: neither `resolution` nor the files tell the voxel size"
        return VoxelSize(ASSUMED_NM, text, (text,))
    usual, by = mode(told.values())
    odd = _odd(told, usual)
    warnings = [*odd, *(_contradiction(given, usual, by) if given else ())]
    if given:
        text = f"{in_nm(given)}, by the request; the files say {in_nm(usual)} ({by})"
        return VoxelSize(given, text, (*warnings,), (*odd,))
    x, y, z = usual
    same = [name for name, nm in zip("yz", (y, z), strict=True) if not nm]
    found = (x, y or x, z or x)
    text = f"{in_nm(found)}, by the files ({by})"
    if same:
        text += f"; {' and '.join(same)} {ASSUMED} to be as x, which `resolution` can say"
        warnings.append(f"voxel size {text}")
    return VoxelSize(found, text, (*warnings,), (*odd,))


def in_nm(nm: Nm3) -> str:
    """`4 x 4 x 8 nm`, without what is unknown."""
    return " x ".join(f"{v:g}" for v in nm if v) + " nm"


def differ(one: Nm3, other: Nm3) -> bool:
    """Whether two voxel sizes differ by more than 1 % where both are known."""
    return any(a and b and abs(a - b) > TOLERANCE * b for a, b in zip(one, other, strict=True))


def _odd(told: Mapping[str, Told], usual: Nm3) -> list[str]:
    odd = [f"{name}: {in_nm(t.nm)}" for name, t in told.items() if differ(t.nm, usual)]
    return (
        [f"{share(len(odd), len(told), 'file', 'says', 'say')} another voxel size than {in_nm(usual)}: {few(odd, 3)}"]
        if odd
        else []
    )


def _contradiction(given: Nm3, usual: Nm3, by: str) -> Sequence[str]:
    text = f"resolution {in_nm(given)} is used, but the files say {in_nm(usual)} ({by})"
    return [text] if differ(given, usual) else []
