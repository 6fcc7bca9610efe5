"""Records of units: whether what they wrote is still there as it was written."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.errors import UserError
from clio_argo.model.base import digest
from clio_argo.model.run import ObjectRecord, UnitRecord
from clio_argo.store.documents import Store
from clio_argo.store.manifest import checksums, damages, read_record, record_name, why_again, write_record

CONTENT = bytes(range(256)) * 4


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def unit(store: Store, number: int = 0, inputs: str = "in") -> UnitRecord:
    objects = tuple(store.write(f"ng/8_8_8/{number}{i}.shard", CONTENT + bytes([i])) for i in range(3))
    return UnitRecord(step="write", unit=number, inputs=inputs, objects=objects)


def damage(store: Store, expected: ObjectRecord) -> str | None:
    [(_, found)] = damages(store, [expected])
    return found


def is_current(store: Store, record: UnitRecord | None, inputs: str) -> bool:
    return why_again(store, record, UnitRecord(step="write", unit=0, inputs=inputs, objects=())) is None


def test_an_untouched_object_has_no_damage(store: Store) -> None:
    assert [damage(store, o) for o in unit(store).objects] == [None] * 3


def test_a_missing_object_is_damage(store: Store, tmp_path: Path) -> None:
    record = unit(store)
    (tmp_path / record.objects[1].name).unlink()
    assert [damage(store, o) for o in record.objects] == [None, "is missing", None]


@pytest.mark.parametrize("length", [0, 1, len(CONTENT), len(CONTENT) + 2])
def test_an_object_of_another_size_is_damage(store: Store, length: int) -> None:
    [first, *_] = unit(store).objects
    store.write(first.name, (CONTENT * 2)[:length])
    assert damage(store, first) == f"has {length} bytes instead of {len(CONTENT) + 1}"


@given(place=st.integers(0, len(CONTENT)), bit=st.integers(0, 7))
def test_any_flipped_bit_is_damage(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    store = Store(str(tmp_path_factory.getbasetemp() / "flipped"))
    [first, *_] = unit(store).objects
    flipped = bytearray(store.need(first.name))
    flipped[place] ^= 1 << bit
    store.write(first.name, bytes(flipped))
    assert "CRC32C differs" in str(damage(store, first))


def test_an_object_that_became_a_folder_is_damage(store: Store, tmp_path: Path) -> None:
    [first, *_] = unit(store).objects
    (tmp_path / first.name).unlink()
    (tmp_path / first.name).mkdir()
    assert damage(store, first) == "is missing"


def test_a_unit_is_current_while_its_inputs_and_objects_are_the_same(store: Store) -> None:
    record = unit(store)
    assert is_current(store, record, "in")
    assert not is_current(store, record, "other")
    assert not is_current(store, None, "in")


@pytest.mark.parametrize("content", [None, b"", CONTENT, CONTENT + b"\1"])
def test_a_unit_with_any_damaged_object_is_not_current(store: Store, tmp_path: Path, content: bytes | None) -> None:
    record = unit(store)
    last = tmp_path / record.objects[-1].name
    if content is None:
        last.unlink()
    else:
        last.write_bytes(content)
    assert not is_current(store, record, "in")


def test_a_unit_without_objects_is_current(store: Store) -> None:
    assert is_current(store, UnitRecord(step="match", unit=0, inputs="in", objects=()), "in")


def test_records_are_read_as_written_and_do_not_mix(store: Store) -> None:
    records = [unit(store, n).model_copy(update={"step": s}) for s in ("write", "coarsen") for n in (0, 7, 123_456)]
    for record in records:
        write_record(store, record)
    assert [read_record(store, r.step, r.unit) for r in records] == records
    assert read_record(store, "write", 1) is None
    names = [record_name("write", n) for n in (7, 10, 999_999)]
    assert names == sorted(names)


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema_version": 1}', b"\xff" * 100])
def test_a_damaged_record_is_as_good_as_none(store: Store, content: bytes) -> None:
    store.write(record_name("write", 3), content)
    assert read_record(store, "write", 3) is None


def test_a_record_of_a_newer_layout_is_refused_by_name(store: Store) -> None:
    store.write(record_name("write", 3), b'{"schema_version": 2}')
    with pytest.raises(UserError, match=r"manifest/write/000003\.json: written by a newer version"):
        read_record(store, "write", 3)


def test_what_a_newer_algorithm_made_is_not_done_again_by_an_older_one(store: Store) -> None:
    done = unit(store).model_copy(update={"algorithm": 3, "software": "clio-argo 9.0"})
    with pytest.raises(UserError, match=r"write/000000\.json: made by .*9\.0, algorithm 3.* use the newer one"):
        is_current(store, done, "in")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"inputs": "other"}, "other inputs"),
        ({"settings": "other"}, "other settings"),
        ({"algorithm": 2}, "newer algorithm (1 -> 2)"),
        ({"software": "clio-argo 9.0", "cpu_s": 3.0}, None),
    ],
)
def test_why_a_unit_is_done_again(store: Store, changed: dict[str, Any], why: str | None) -> None:
    done = unit(store)
    assert why_again(store, done, done.model_copy(update=changed)) == why


def test_checksums_name_everything_that_units_wrote(store: Store) -> None:
    records = [unit(store, 1), None, unit(store, 2)]
    assert checksums(records) == [(o.name, o.crc32c) for r in records if r for o in r.objects]
    assert len(checksums(records)) == 6


def test_the_digest_of_inputs_depends_on_each_and_on_their_order() -> None:
    digests = [digest([*parts]) for parts in ([], [1], [1, 2], [2, 1], [[1, 2]], ["1", 2], [{"a": 1}], [{"a": 2}])]
    assert len(set(digests)) == len(digests)
    assert digest([{"a": 1, "b": 2}]) == digest([{"b": 2, "a": 1}])
