"""Records of finished units: what they wrote, from which inputs. Resume, verify and repair stand on them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import version

from clio_argo.errors import UserError
from clio_argo.model.layout import FORMER_STEPS, record_name
from clio_argo.model.run import ObjectRecord, UnitRecord
from clio_argo.store.documents import Store, intact, record_of

# objects may have 100 MB, and all of them are held in memory
LARGE_AT_ONCE = 4
NEW = "new"
OTHER_CONTENT = "has other content than was written (CRC32C differs)"


def read_record(store: Store, step: str, unit: int) -> UnitRecord | None:
    """Record of one unit; None if there is none, or one that cannot be read."""
    return next(read_records(store, step, [unit]))


def read_records(store: Store, step: str, units: Iterable[int]) -> Iterator[UnitRecord | None]:
    """Records of many units, in their order; None where there is none, or one that cannot be read."""
    numbers = list(units)
    names = [record_name(step, unit) for unit in numbers]
    for unit, name, data in zip(numbers, names, store.read_all(names), strict=True):
        former = FORMER_STEPS.get(step) if data is None else None
        record = store.read(record_name(former, unit)) if former else data
        yield intact(UnitRecord, record, store.url + name)


def write_record(store: Store, record: UnitRecord) -> None:
    """Record that a unit is done."""
    store.write(record_name(record.step, record.unit), record.to_bytes())


def why_again(store: Store, record: UnitRecord | None, requested: UnitRecord) -> str | None:
    """Why a unit has to be done; None if its record says that it is done, and all its objects are as they were written.

    Raises:
        UserError: a newer algorithm did it; to repeat it with the older one would mix two volumes.
    """
    if record is None:
        return NEW
    if record.algorithm > requested.algorithm:
        name = record_name(record.step, record.unit)
        newer, this = (f"{r.software}, algorithm {r.algorithm}" for r in (record, requested))
        raise UserError(f"{store.url}{name}: made by a newer version ({newer}; this is {this}); use the newer one")
    if record.algorithm < requested.algorithm:
        return f"newer algorithm ({record.algorithm} -> {requested.algorithm})"
    if record.settings != requested.settings:
        return "other settings"
    if record.inputs != requested.inputs:
        return "other inputs"
    return "missing or damaged objects" if any(d for _, d in damages(store, record.objects)) else None


def damages(store: Store, objects: Sequence[ObjectRecord]) -> Iterator[tuple[ObjectRecord, str | None]]:
    """What is wrong with each object, read whole; None if nothing is."""
    contents = store.read_all((o.name for o in objects), LARGE_AT_ONCE)
    for expected, data in zip(objects, contents, strict=True):
        yield expected, damage(expected, data)


def damage(expected: ObjectRecord, data: bytes | None) -> str | None:
    """What is wrong with an object that reads as `data`."""
    if data is None:
        return "is missing"
    if len(data) != expected.size:
        return size_differs(len(data), expected)
    return OTHER_CONTENT if record_of(expected.name, data) != expected else None


def size_differs(size: int, expected: ObjectRecord) -> str:
    """What is wrong with an object of `size` bytes, as listed or read."""
    return f"has {size} bytes instead of {expected.size}"


def checksums(records: Iterable[UnitRecord | None]) -> list[tuple[str, str]]:
    """(name, CRC32C) of everything that units wrote, as an input of later units."""
    return [(o.name, o.crc32c) for r in records if r for o in r.objects]


@cache
def software() -> str:
    """Version of this program, and the container image that it runs in if CLIO_IMAGE names it."""
    image = os.environ.get("CLIO_IMAGE")
    return f"clio-argo {version('clio-argo')}" + (f" in {image}" if image else "")
