"""Frozen values, their canonical JSON and their digests."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from clio_argo.errors import NewerDocument, UserError


class Value(BaseModel):
    """An immutable value. Change it with `model_copy(update=...)`."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Section(Value):
    """A group of settings. No setting may be infinite or not a number."""

    model_config = ConfigDict(allow_inf_nan=False)


def former_names(fields: Mapping[str, str], values: Mapping[str, str] | None = None) -> Any:
    """A validator that reads documents of older layouts.

    fields: new names of fields by their former ones. values: new words by former ones, in fields that hold words.
    """

    def translate(data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        words = values or {}
        return {fields.get(k, k): words.get(v, v) if isinstance(v, str) else v for k, v in data.items()}

    return model_validator(mode="before")(translate)


class Document(Value):
    """A value that is stored as one JSON object of its own, with the version of its layout."""

    SCHEMA_VERSION: ClassVar[int] = 1
    schema_version: int = 1

    @model_validator(mode="before")
    @classmethod
    def _of_now(cls, data: Any) -> Any:
        """A document that is made, not read, has the layout of this version."""
        return {"schema_version": cls.SCHEMA_VERSION, **data} if isinstance(data, Mapping) else data

    @field_validator("schema_version")
    @classmethod
    def _readable(cls, value: int) -> int:
        """Refuse newer layouts; what is read of an older one has the layout of this version from then on."""
        if not 1 <= value <= cls.SCHEMA_VERSION:
            raise ValueError(f"this version of clio-argo reads layouts up to {cls.SCHEMA_VERSION}")
        return cls.SCHEMA_VERSION

    def to_bytes(self) -> bytes:
        return canonical_json(self.model_dump(mode="json")) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Self:
        """Parse the object `name`; a broken or newer document is a `UserError` that names it."""
        try:
            raw = json.loads(data)
            version = raw.get("schema_version", 0) if isinstance(raw, dict) else 0
            if isinstance(version, int) and version > cls.SCHEMA_VERSION:
                raise NewerDocument(
                    f"{name}: written by a newer version of clio-argo (layout {version}, this one "
                    f"reads up to {cls.SCHEMA_VERSION}); install the newer version"
                )
            return cls.model_validate(raw)
        except (ValidationError, ValueError, RecursionError) as error:
            raise UserError(f"{name}: not a valid {cls.__name__} document: {error}") from error


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: Any) -> str:
    """First 32 hexadecimal digits of SHA-256 over the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:32]
