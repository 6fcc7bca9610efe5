"""Makes a `Request` of what users write: YAML, JSON, flags, the predecessor's documents."""

import difflib
import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from clio_argo.errors import UserError
from clio_argo.model.request import OVERRIDE, REQUEST, Request
from clio_argo.model.strict_yaml import parse_yaml
from clio_argo.model.unique_id import id_of

# the predecessor's names of settings, each with the field it means: its requests run unchanged
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
# of a value in a message: a failed try's message stays in the workflow object, which holds 1 MiB
LONGEST_VALUE = 200
# Argo and Kubernetes would substitute these
TEMPLATE_MARKS = ("{{", "}}", "$(", "$$")


def parse_text(text: str, name: str) -> dict[str, Any]:
    """Read a YAML or JSON mapping. Raises `UserError`, which calls it `name`, if it is something else."""
    value = parse_yaml(text, name)
    if not isinstance(value, dict):
        raise UserError(f"{name}: expected a mapping of settings, found {type(value).__name__}")
    return value


def parse_setting(text: str) -> dict[str, Any]:
    """The setting of `--set contrast.clip_limit=0`: a mapping of its dotted name to its YAML value.

    A list needs no brackets.
    """
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not key:
        raise UserError(f"--set {text}: expected KEY=VALUE, for example contrast.clip_limit=0")
    # shells take brackets for a pattern of file names
    bare = ("," in value or value.lstrip().startswith("{")) and not value.lstrip().startswith("[")
    if bare and LEGACY.get(key, key) in list_paths():
        value = f"[{value}]"
    return {key: parse_yaml(value, f"--set {key}")}


def build_request(*layers: Mapping[str, Any]) -> Request:
    """Merge mappings (later ones win) into a request.

    Raises:
        UserError: names every unknown key with its nearest known name and every value out of range.
    """
    merged: dict[str, Any] = {}
    problems: list[str] = []
    for layer in layers:
        flat, layer_problems = _resolve_names(layer)
        merged.update(flat)
        problems += layer_problems
    try:
        request = Request.model_validate(_nest(merged))
    except ValidationError as error:
        # all at once: a user who mends one problem after the other pays a try for each
        raise UserError.all(REFUSED, [*problems, *_messages(error)]) from error
    problems += [f"{path}: {value!r} is not UTF-8" for path, value in merged.items() if not _is_utf8(value)]
    if problems:
        raise UserError.all(REFUSED, problems)
    return request


def _is_utf8(value: Any) -> bool:
    """Whether a value can be written: arguments of commands, and escapes in YAML, may hold half a character."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def from_environment(environment: Mapping[str, str]) -> Request | None:
    """The request of a container, its single settings replacing those of the whole; None if there is none.

    Without an id it has the name of its source. Raises `UserError` if it cannot be used.
    """
    text = environment.get(REQUEST)
    if text is None:
        return None
    given = {k.removeprefix(OVERRIDE): v.strip() for k, v in environment.items() if k.startswith(OVERRIDE)}
    single = {name: value for name, value in given.items() if value}
    whole = parse_text(text.strip() or "{}", "config")
    source = single.get("source") or whole.get("source") or ""
    request = build_request({"id": id_of(str(source))}, whole, single)
    if problems := template_problems(request.model_dump(mode="json")):
        raise UserError.all(REFUSED, problems)
    return request


def template_problems(settings: Mapping[str, Any]) -> list[str]:
    """Problems of settings that hold a template of Argo or a variable of Kubernetes, which would be substituted."""
    return [
        f"{key}: holds {mark!r}, which a cluster would substitute (got {_short(text)})"
        for key, value in _flatten(settings)
        for text in (key, *_texts(value))
        for mark in TEMPLATE_MARKS
        if mark in text
    ]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Sequence):
        yield from (t for item in value for t in _texts(item))


def field_info(path: str) -> FieldInfo:
    """What is declared of the setting with a dotted name."""
    model: type[BaseModel] = Request
    *sections, name = path.split(".")
    for section in sections:
        model = cast("type[BaseModel]", model.model_fields[section].annotation)
    return model.model_fields[name]


def list_paths() -> list[str]:
    """Dotted names of the settings that hold several values."""
    return [path for path in field_paths() if _is_list(field_info(path).annotation)]


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return origin in (tuple, list) or (origin is not dict and any(map(_is_list, get_args(annotation))))


def field_paths(model: type[BaseModel] = Request, prefix: str = "") -> list[str]:
    """Dotted names of all settings, sections expanded."""
    paths: list[str] = []
    for name, info in model.model_fields.items():
        section = _section(info.annotation)
        paths += field_paths(section, f"{prefix}{name}.") if section else [prefix + name]
    return paths


def _section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _sections() -> set[str]:
    # labels are no section, but their names are written like settings of one
    return {p.rpartition(".")[0] for p in field_paths()} - {""} | {"labels"}


def _resolve_names(layer: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Settings of one layer by their current dotted names, and the problems of its keys."""
    paths, sections = set(field_paths()), _sections()
    spellings, values, problems = dict[str, str](), dict[str, Any](), list[str]()
    for key, value in _flatten(layer):
        path = LEGACY.get(key, key)
        if path in sections:
            problems.append(_not_a_section(path, value))
        elif path not in paths and not path.startswith("labels."):
            problems.append(_unknown_name(key))
        else:
            if path in values and values[path] != value:
                problems.append(f"{spellings[path]} and {key} mean the same and differ")
            values[path], spellings[path] = value, key
    return values, problems


def _flatten(layer: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted name. An empty section sets nothing."""
    sections = _sections()
    for key, value in layer.items():
        path = f"{prefix}{key}"
        if path in sections and isinstance(value, Mapping):
            yield from _flatten(value, f"{path}.")
        elif path not in sections or value is not None:
            yield path, value


def _not_a_section(path: str, value: Any) -> str:
    example = next((p for p in field_paths() if p.startswith(f"{path}.")), f"{path}.NAME")
    return f"{path}: expected a section of settings such as {example} (got {_short(value)})"


def _unknown_name(key: str) -> str:
    names = [*field_paths(), *LEGACY]
    # the right name in the wrong section, or none, is nearer than any misspelling
    near = [n for n in names if n.rpartition(".")[2] == key.rpartition(".")[2]][:1]
    near = near or difflib.get_close_matches(key[:LONGEST_VALUE], names, 1, 0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "; see docs/reference/request.schema.json"
    return f"unknown setting {_short(key)}{hint}"


def _short(value: Any) -> str:
    """A value as messages show it."""
    try:
        text = repr(value) if isinstance(value, str) else reprlib.repr(value)
    # Python refuses to print integers of more than 4,300 digits
    except ValueError:
        return "a number too long to show"
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "..."


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for path, value in flat.items():
        # names of labels may hold dots
        label = path.removeprefix("labels.")
        *sections, name = path.split(".") if label == path else ("labels", label)
        reduce(lambda inner, section: inner.setdefault(section, {}), sections, settings)[name] = value
    return settings


def _messages(error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        # the tail of a location may name a branch of a union, which is no setting
        parts = [str(p) for p in item["loc"]]
        while len(parts) > 1 and ".".join(parts) not in field_paths():
            parts.pop()
        got = "" if item["type"] in ("missing", "value_error") else f" (got {_short(item['input'])})"
        text = "give one" if item["type"] == "missing" else item["msg"].removeprefix("Value error, ")
        yield f"{'.'.join(parts) or 'request'}: {text}{got}"


def differing_keys(ours: Request, theirs: Request) -> Sequence[str]:
    """Settings that can change a voxel and in which two requests differ, as `key: theirs -> ours`."""
    before, now = (dict(_flatten(request.identity())) for request in (theirs, ours))
    names = sorted(before.keys() | now.keys())
    return [f"{k}: {before.get(k)!r} -> {now.get(k)!r}" for k in names if before.get(k) != now.get(k)]
