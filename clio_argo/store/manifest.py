"""Records of finished units: what they wrote, from which inputs. Resume, verify and repair stand on them."""

from collections.abc import Iterable

from clio_argo.model.run import ObjectRecord, UnitRecord
from clio_argo.store.documents import Store, record_of

FOLDER = "manifest"


def record_name(step: str, unit: int) -> str:
    return f"{FOLDER}/{step}/{unit:06d}.json"


def read_record(store: Store, step: str, unit: int) -> UnitRecord | None:
    return store.find_document(UnitRecord, record_name(step, unit))


def write_record(store: Store, record: UnitRecord) -> None:
    store.write(record_name(record.step, record.unit), record.to_bytes())


def is_current(store: Store, record: UnitRecord | None, inputs: str) -> bool:
    """Whether a unit need not be done again: same inputs, and every object is there as it was written."""
    if record is None or record.inputs != inputs:
        return False
    return not any(damage(store, o) for o in record.objects)


def damage(store: Store, expected: ObjectRecord) -> str | None:
    """What is wrong with an object, read whole; None if nothing is."""
    data = store.read(expected.name)
    if data is None:
        return "missing"
    if len(data) != expected.size:
        return f"has {len(data)} bytes instead of {expected.size}"
    return (
        None
        if record_of(expected.name, data) == expected
        else "has other content than was written (CRC32C differs)"
    )


def checksums(records: Iterable[UnitRecord | None]) -> list[tuple[str, str]]:
    """(name, CRC32C) of everything that units wrote, as an input of later units."""
    return [(o.name, o.crc32c) for r in records if r for o in r.objects]
