"""From what people write (YAML, JSON, flags, the predecessor's documents) to an `IngestConfig`."""

import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from clio_argo.errors import UserError
from clio_argo.model.config import IngestConfig

# The predecessor's spellings, each with the field it means.
LEGACY = {
    "email": "notify.email",
    "mail": "notify.email",
    "project_id": "project",
    "downsample_factor": "alignment.downsample",
    "skip_align": "alignment.skip",
    "clip-limit": "contrast.clip_limit",
    "clip_limit": "contrast.clip_limit",
    "createRawPyramid": "lossless",
    "rawPyramid": "lossless",
}


def parse_text(text: str, name: str) -> dict[str, Any]:
    """Read a YAML or JSON mapping; `name` is what errors call it."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{name}: not valid YAML or JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{name}: expected a mapping of settings, found {type(value).__name__}")
    return value


def parse_setting(text: str) -> dict[str, Any]:
    """`--set contrast.clip_limit=0` as a mapping of dotted keys to YAML values."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise UserError(f"--set {text}: expected KEY=VALUE, for example contrast.clip_limit=0")
    try:
        return {key.strip(): yaml.safe_load(value)}
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"--set {text}: the value is not valid YAML") from error


def build_config(*layers: Mapping[str, Any]) -> IngestConfig:
    """Merge mappings (later ones win) into a request.

    Raises:
        UserError: names every unknown key with its nearest known name and every value out of range.
    """
    merged: dict[str, Any] = {}
    problems: list[str] = []
    for layer in layers:
        flat, found = _known(layer)
        merged.update(flat)
        problems += found
    if problems:
        raise UserError.all("the request cannot be used:", problems)
    try:
        return IngestConfig.model_validate(_nested(merged))
    except ValidationError as error:
        raise UserError.all("the request cannot be used:", list(_messages(error))) from error


def field_paths(model: type[BaseModel] = IngestConfig, prefix: str = "") -> list[str]:
    """All settings as dotted names, sections expanded."""
    paths: list[str] = []
    for name, info in model.model_fields.items():
        section = _section(info.annotation)
        paths += field_paths(section, f"{prefix}{name}.") if section else [prefix + name]
    return paths


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _known(layer: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """One layer with dotted current names, and what is wrong with its keys."""
    known, spelled, problems = set(field_paths()), dict[str, str](), list[str]()
    result: dict[str, Any] = {}
    for key, value in _flat(layer):
        path = LEGACY.get(key, key)
        if path not in known and not path.startswith("labels."):
            problems.append(_unknown(key))
        elif path in result and result[path] != value:
            problems.append(f"{spelled[path]} and {key} mean the same and differ")
        result[path], spelled[path] = value, key
    return result, problems


def _flat(layer: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    sections = {p.rpartition(".")[0] for p in field_paths()} | {"labels"}
    for key, value in layer.items():
        path = f"{prefix}{key}"
        if path in sections and isinstance(value, Mapping):
            yield from _flat(value, f"{path}.")
        elif path in sections:
            yield f"{path}", value
        else:
            yield path, value


def _unknown(key: str) -> str:
    names = [*field_paths(), *LEGACY]
    near = difflib.get_close_matches(key, names, 1, 0.5)
    near = near or [n for n in names if n.rpartition(".")[2] == key.rpartition(".")[2]][:1]
    hint = f"; did you mean {near[0]!r}?" if near else "; see docs/reference/request.schema.json"
    return f"unknown setting {key!r}{hint}"


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        if path.startswith("labels."):
            nested.setdefault("labels", {})[path.removeprefix("labels.")] = value
            continue
        *sections, name = path.split(".")
        inner = nested
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[name] = value
    return nested


def _messages(error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        # the tail of a location may name a branch of a union, which is no setting
        parts = [str(p) for p in item["loc"]]
        while len(parts) > 1 and ".".join(parts) not in field_paths():
            parts.pop()
        got = "" if item["type"] in ("missing", "value_error") else f" (got {item['input']!r})"
        text = item["msg"].removeprefix("Value error, ")
        yield f"{'.'.join(parts) or 'request'}: {text}{got}"


def differing_keys(ours: IngestConfig, theirs: IngestConfig) -> Sequence[str]:
    """Settings in which two requests differ, as `key: theirs -> ours`."""
    a, b = (dict(_flat(typing.cast(Mapping[str, Any], c.identity()))) for c in (theirs, ours))
    return [f"{k}: {a.get(k)!r} -> {b.get(k)!r}" for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)]
