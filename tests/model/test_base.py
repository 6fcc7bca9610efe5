"""Documents: what cannot be read is named, never guessed."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from clio_argo.errors import BrokenInvariant, UserError, first_words, last_words
from clio_argo.model.alignment import Fits, Transforms
from clio_argo.model.base import Document, canonical_json, counted, digest, share
from clio_argo.model.plan import Plan, SliceUnit
from clio_argo.model.request import Request
from clio_argo.model.run import Completion, ObjectRecord, UnitRecord, Verification
from clio_argo.model.volume import VolumeSpec

KINDS = [Request, Plan, SliceUnit, Fits, Transforms, VolumeSpec, UnitRecord, Verification, Completion]
RECORD = UnitRecord(
    step="write", unit=3, inputs="ab", objects=(ObjectRecord(name="ng/8_8_8/0.shard", size=7, crc32c="0badcafe"),)
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_layout_is_refused_with_what_to_do(kind: type[Document]) -> None:
    data = json.dumps({"schema_version": kind.SCHEMA_VERSION + 1, "field of the future": 1}).encode()
    with pytest.raises(UserError, match=r"^run/x\.json: written by a newer version.*install the newer version"):
        kind.from_bytes(data, "run/x.json")


@pytest.mark.parametrize("version", ["2", 2.0, 0, -1, None, [1], 10**30, "one"])
def test_a_layout_that_does_not_exist_is_refused(version: object) -> None:
    data = json.dumps({**RECORD.model_dump(mode="json"), "schema_version": version}).encode()
    with pytest.raises(UserError, match=r"^x\.json: "):
        UnitRecord.from_bytes(data, "x.json")


@example(b"")
@example(b"\xff\xfe")
@example(b"[" * 100_000)
@example(b"1" * 5000)
@example(b'{"schema_version": 1e999}')
@example(b"null")
@given(st.binary(max_size=60) | json_values.map(lambda v: json.dumps(v).encode()))
def test_garbage_is_refused_by_name(data: bytes) -> None:
    for kind in KINDS:
        with pytest.raises(UserError, match=r"^run/x\.json: "):
            kind.from_bytes(data, "run/x.json")


@given(st.data())
def test_a_damaged_document_is_refused_or_still_valid(data: st.DataObject) -> None:
    whole = bytearray(RECORD.to_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(UserError):
        UnitRecord.from_bytes(bytes(whole), "x.json")


@given(st.integers(0, len(RECORD.to_bytes()) - 3))
def test_a_truncated_document_is_refused(length: int) -> None:
    with pytest.raises(UserError):
        UnitRecord.from_bytes(RECORD.to_bytes()[:length], "x.json")


def test_an_unknown_field_is_refused() -> None:
    data = json.dumps({**RECORD.model_dump(mode="json"), "objcts": []}).encode()
    with pytest.raises(UserError, match="objcts"):
        UnitRecord.from_bytes(data, "x.json")


def test_a_document_says_the_version_of_its_layout_and_ends_with_a_newline() -> None:
    data = RECORD.to_bytes()
    assert json.loads(data)["schema_version"] == 1
    assert data.endswith(b"\n")
    assert UnitRecord.from_bytes(data, "x") == RECORD


def test_values_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        RECORD.unit = 4  # type: ignore[misc]


@pytest.mark.properties
@given(st.dictionaries(st.text(), json_values))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    reordered = dict(reversed(value.items()))
    assert digest(reordered) == digest(value)
    assert json.loads(canonical_json(value)) == value


def test_digests_of_different_values_differ() -> None:
    assert len({digest(v) for v in ({}, [], None, 0, "0", {"a": 1}, {"a": "1"}, {"b": 1}, [1, 2], [2, 1])}) == 10


def test_a_copy_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(BrokenInvariant, match="ObjectRecord has no field sise"):
        RECORD.objects[0].model_copy(update={"sise": 8})
    assert RECORD.objects[0].model_copy(update={"size": 8}).size == 8


def test_what_is_counted_agrees_with_its_number() -> None:
    assert [counted(n, "slice", "lies", "lie") for n in (0, 1, 2)] == ["0 slices lie", "1 slice lies", "2 slices lie"]
    assert [share(n, 3, "slice") for n in (1, 2)] == ["1 of 3 slices is", "2 of 3 slices are"]
    assert share(1, 1, "pod", "is gone", "are gone") == "1 of 1 pod is gone"
    assert [counted(n, "hidden file") for n in (1, 30)] == ["1 hidden file", "30 hidden files"]


@given(st.lists(st.text("ab", min_size=1, max_size=6), max_size=30), st.integers(7, 60))
def test_no_word_of_a_long_text_is_cut(words: list[str], most: int) -> None:
    text = " ".join(words)
    first, last = first_words(text, most), last_words(text, most)
    if len(text) <= most:
        assert (first, last) == (text, text)
    else:
        begin, end = first.removesuffix(" ...").split(), last.removeprefix("... ").split()
        assert (begin, end) == (words[: len(begin)], words[-len(end) :])
        assert max(map(len, (first, last))) <= most + 4
        assert min(map(len, (first, last))) > most - 7


def test_a_word_without_an_end_is_cut() -> None:
    assert (first_words("a" * 99, 5), last_words("a" * 99, 5)) == ("aaaaa ...", "... aaaaa")
