"""Frozen values, their canonical JSON and their digests."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from clio_argo.errors import BrokenInvariant, NewerDocument, UserError

# what parsers of text that may hold anything end with: text that is not what they read
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, csv.Error)


class Value(BaseModel):
    """An immutable value. Change it with `model_copy(update=...)`."""

    # an unknown field is a misspelling or a newer layout: either would be lost in silence
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """The same value with some fields changed. Raises `BrokenInvariant` for a field that does not exist."""
        # pydantic itself keeps an unknown name beside the fields, where nothing reads it
        if unknown := set(update or ()) - type(self).model_fields.keys():
            raise BrokenInvariant(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        return super().model_copy(update=update, deep=deep)


def _join_lines(schema: dict[str, Any]) -> None:
    """Put each description of a JSON schema on one line: in the code it is wrapped."""
    for field in schema.get("properties", {}).values():
        if "description" in field:
            field["description"] = " ".join(field["description"].split())


class Section(Value):
    """A group of settings. The text below a field documents it. No setting may be infinite or not a number."""

    model_config = ConfigDict(allow_inf_nan=False, use_attribute_docstrings=True, json_schema_extra=_join_lines)


def former_names(fields: Mapping[str, str], **words: Mapping[str, str]) -> Any:
    """A validator that reads documents of older layouts.

    fields: current names of fields by their former ones.
    words: for a field (by its current name) that holds one of several words, the current words by their former ones.
    """

    def translate(data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        # a field under both of its names keeps them, so that validation refuses it
        current = {fields[k] if k in fields and fields[k] not in data else k: v for k, v in data.items()}
        # compared, not looked up: a damaged document may hold a list, which no mapping can look up
        return {k: next((new for old, new in words.get(k, {}).items() if old == v), v) for k, v in current.items()}

    return model_validator(mode="before")(translate)


class Document(Value):
    """A value that is stored as one JSON object of its own, with the version of its layout."""

    SCHEMA_VERSION: ClassVar[int] = 1
    schema_version: int = 1

    @model_validator(mode="before")
    @classmethod
    def _set_version(cls, data: Any) -> Any:
        """A document that is made, not read, has the current layout."""
        return {"schema_version": cls.SCHEMA_VERSION, **data} if isinstance(data, Mapping) else data

    @field_validator("schema_version")
    @classmethod
    def _check_version(cls, value: int) -> int:
        if not 1 <= value <= cls.SCHEMA_VERSION:
            raise ValueError(f"this version of clio-argo reads layouts up to {cls.SCHEMA_VERSION}")
        # former names were translated on reading, so what is written next has the current layout
        return cls.SCHEMA_VERSION

    def to_bytes(self) -> bytes:
        """The document as canonical JSON with a final newline."""
        return canonical_json(self.model_dump(mode="json")) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Self:
        """Parse the object `name`.

        Raises:
            NewerDocument: a newer version of the program wrote it.
            UserError: it is no valid document of this kind.
        """
        raw: Any = None
        try:
            raw = json.loads(data)
            return cls.model_validate(raw)
        # json recurses into nested lists, and refuses integers of thousands of digits by ValueError
        except UNREADABLE as error:
            raise cls._refusal(raw, name, error) from error

    @classmethod
    def _refusal(cls, raw: Any, name: str, error: Exception) -> UserError:
        """Why a JSON value that is not valid is refused."""
        if other := next((kind for kind in _kinds(Document) if kind is not cls and kind._reads(raw)), None):
            return UserError(f"{name}: holds a {other.__name__} document instead of {cls.__name__}")
        version = raw.get("schema_version", 0) if isinstance(raw, dict) else 0
        # fields of a newer layout would be reported as misspelled
        if isinstance(version, int) and version > cls.SCHEMA_VERSION:
            return NewerDocument(
                f"{name}: written by a newer version of clio-argo (layout {version}, this one "
                f"reads up to {cls.SCHEMA_VERSION}); install the newer version"
            )
        return UserError(f"{name}: not a valid {cls.__name__} document: {error}")

    @classmethod
    def _reads(cls, raw: Any) -> bool:
        """Whether a JSON value is a document of this kind; one without a field could be of several."""
        try:
            return bool(raw.keys() - {"schema_version"}) and bool(cls.model_validate(raw))
        except UNREADABLE:
            return False


def _kinds(kind: type[Document]) -> Iterator[type[Document]]:
    """All kinds of documents that are loaded."""
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: Any) -> str:
    """First 32 hexadecimal digits of SHA-256 over the canonical JSON of `value`."""
    # 128 bits: no two inputs of any run meet by chance
    return hashlib.sha256(canonical_json(value)).hexdigest()[:32]


def html_table(title: str, rows: Mapping[str, object]) -> str:
    """A title and rows of a name and a value, as notebooks show them; rows without a value are left out."""
    shown = "".join(f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in rows.items() if v or v == 0)
    return f"<b>{escape(title)}</b><table>{shown}</table>"


def few(items: Sequence[str], most: int = 5) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def counted(number: int, noun: str, one: str = "", more: str = "") -> str:
    """`1 slice`, `2 slices`; followed by the word that goes with one, or with none and several."""
    text = f"{number} {noun}{'' if number == 1 else 's'}"
    return f"{text} {word}" if (word := one if number == 1 else more) else text


def share(number: int, total: int, noun: str, one: str = "is", more: str = "are") -> str:
    """`1 of 60 slices is`, `2 of 60 slices are`."""
    return f"{number} of {counted(total, noun)} {one if number == 1 else more}"
