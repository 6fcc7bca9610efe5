"""From what people write (YAML, JSON, flags, the predecessor's documents) to an `Request`."""

import difflib
import reprlib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from clio_argo.errors import UserError
from clio_argo.model.request import OVERRIDE, REQUEST, Request

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
REFUSED = "the request cannot be used:"
LONGEST_SHOWN = 200
TEMPLATE_MARKS = ("{{", "}}", "$(", "$$")


def parse_text(text: str, name: str) -> dict[str, Any]:
    """Read a YAML or JSON mapping; `name` is what errors call it."""
    value = _parse(text, name)
    if not isinstance(value, dict):
        raise UserError(f"{name}: expected a mapping of settings, found {type(value).__name__}")
    return value


def parse_setting(text: str) -> dict[str, Any]:
    """`--set contrast.clip_limit=0` as a mapping of dotted keys to YAML values."""
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise UserError(f"--set {text}: expected KEY=VALUE, for example contrast.clip_limit=0")
    return {key.strip(): _parse(value, f"--set {key.strip()}")}


def _parse(text: str, name: str) -> Any:
    try:
        return yaml.safe_load(text)
    # explicit tags (!!timestamp x, !!bool x) make PyYAML fail with whatever its constructors run into
    except (yaml.YAMLError, ValueError, AttributeError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{name}: not valid YAML or JSON: {str(error)[: LONGEST_SHOWN * 2]}") from error


def build_config(*layers: Mapping[str, Any]) -> Request:
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
    try:
        config = Request.model_validate(_nested(merged))
    except ValidationError as error:
        raise UserError.all(REFUSED, [*problems, *_messages(error)]) from error
    if problems:
        raise UserError.all(REFUSED, problems)
    return config


def from_environment(environment: Mapping[str, str]) -> Request | None:
    """The request that a container gets, single settings over the whole; None if there is none."""
    text = environment.get(REQUEST)
    if not text:
        return None
    single = {k.removeprefix(OVERRIDE): v for k, v in environment.items() if k.startswith(OVERRIDE) and v}
    config = build_config(parse_text(text, "config"), single)
    if problems := template_problems(config.model_dump(mode="json")):
        raise UserError.all(REFUSED, problems)
    return config


def template_problems(settings: Mapping[str, Any]) -> list[str]:
    """Settings that hold a template of Argo or a variable of Kubernetes, which put something else in its place."""
    return [
        f"{key}: holds {mark!r}, which stands for something else on a cluster (got {_shown(text)})"
        for key, value in _flat(settings)
        for text in (key, *_texts(value))
        for mark in TEMPLATE_MARKS
        if mark in text
    ]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Sequence):
        yield from (t for item in value for t in _texts(item))


def field_paths(model: type[BaseModel] = Request, prefix: str = "") -> list[str]:
    """All settings as dotted names, sections expanded."""
    paths: list[str] = []
    for name, info in model.model_fields.items():
        section = _section(info.annotation)
        paths += field_paths(section, f"{prefix}{name}.") if section else [prefix + name]
    return paths


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _sections() -> set[str]:
    return {p.rpartition(".")[0] for p in field_paths()} - {""} | {"labels"}


def _known(layer: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """One layer with dotted current names, and what is wrong with its keys."""
    known, sections = set(field_paths()), _sections()
    spelled, problems = dict[str, str](), list[str]()
    result: dict[str, Any] = {}
    for key, value in _flat(layer):
        path = LEGACY.get(key, key)
        if path in sections:
            problems.append(_no_section(path, value))
            continue
        if path not in known and not path.startswith("labels."):
            problems.append(_unknown(key))
            continue
        if path in result and result[path] != value:
            problems.append(f"{spelled[path]} and {key} mean the same and differ")
        result[path], spelled[path] = value, key
    return result, problems


def _flat(layer: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted name. A section that was left empty sets nothing."""
    sections = _sections()
    for key, value in layer.items():
        path = f"{prefix}{key}"
        if path in sections and isinstance(value, Mapping):
            yield from _flat(value, f"{path}.")
        elif path not in sections or value is not None:
            yield path, value


def _no_section(path: str, value: Any) -> str:
    example = next((p for p in field_paths() if p.startswith(f"{path}.")), f"{path}.NAME")
    return f"{path}: expected a section of settings such as {example} (got {_shown(value)})"


def _unknown(key: str) -> str:
    names = [*field_paths(), *LEGACY]
    # the right name in the wrong section, or none, is nearer than any misspelling
    near = [n for n in names if n.rpartition(".")[2] == key.rpartition(".")[2]][:1]
    near = near or difflib.get_close_matches(key[:LONGEST_SHOWN], names, 1, 0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "; see docs/reference/request.schema.json"
    return f"unknown setting {_shown(key)}{hint}"


def _shown(value: Any) -> str:
    """A value as errors show it: never long."""
    try:
        text = repr(value) if isinstance(value, str) else reprlib.repr(value)
    except ValueError:
        return "a number too long to show"
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."


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
        got = "" if item["type"] in ("missing", "value_error") else f" (got {_shown(item['input'])})"
        text = item["msg"].removeprefix("Value error, ")
        yield f"{'.'.join(parts) or 'request'}: {text}{got}"


def differing_keys(ours: Request, theirs: Request) -> Sequence[str]:
    """Settings in which two requests differ, as `key: theirs -> ours`."""
    a, b = (dict(_flat(typing.cast(Mapping[str, Any], c.identity()))) for c in (theirs, ours))
    return [f"{k}: {a.get(k)!r} -> {b.get(k)!r}" for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)]
