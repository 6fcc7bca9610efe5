"""Writes a request as commented YAML, for people to go on with."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import reduce
from itertools import groupby
from typing import Any

from clio_argo.errors import printable
from clio_argo.model.parse_request import field_info, field_paths
from clio_argo.model.request import Request
from clio_argo.model.strict_yaml import yaml_value

# what people change first, whatever it is; of the others what differs from its default
SHOWN = ("contrast.clip_limit", "max_bad")
MORE = "# More settings: docs/guide/request.md; `clio-argo schema` prints all."


def commented_request(request: Request, headline: str, notes: Mapping[str, str]) -> str:
    """A request as YAML that reads as the same request, with a comment for each setting.

    headline: what the first line says. notes: what stands behind a setting, by its dotted name; it may be empty.
    """
    sections = groupby(written_values(request, notes).items(), lambda item: item[0].rpartition(".")[0])
    lines = [line for section, items in sections for line in _section(section, items, notes)]
    return "\n".join([f"# {printable(headline)}", *lines, "", MORE, ""])


def written_values(request: Request, noted: Collection[str]) -> dict[str, str]:
    """Settings that are written, those of `noted` among them, by their dotted names, as YAML."""
    default = _values(Request.model_construct(id="", source=""))
    shown = ((p, v) for p, v in _values(request).items() if v != default[p] or p in SHOWN or p in noted)
    return {path: yaml_value(_short(path, value)) for path, value in shown}


def _values(request: Request) -> dict[str, Any]:
    """Settings as JSON has them, by dotted name."""
    whole: Any = request.model_dump(mode="json")
    return {path: reduce(lambda value, name: value[name], path.split("."), whole) for path in field_paths()}


def _section(section: str, items: Iterable[tuple[str, str]], notes: Mapping[str, str]) -> Iterator[str]:
    if section:
        yield f"\n{section}:"
    gap, indent = ("", "  ") if section else ("\n", "")
    for path, value in items:
        note = f"  # {printable(notes[path])}" if notes.get(path) else ""
        yield f"{gap}{indent}# {_meaning(path)}"
        yield f"{indent}{path.rpartition('.')[2]}: {value}{note}"


def _short(path: str, value: Any) -> Any:
    """A value as people write it: 8 for 8.0, and for [8.0, 8.0, 8.0] of the resolution."""
    if isinstance(value, list):
        values = [_short("", v) for v in value]
        return values[0] if path == "resolution" and len(set(values)) == 1 else values
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _meaning(path: str) -> str:
    """The first sentence of a setting's documentation."""
    text = " ".join((field_info(path).description or "").split())
    return re.split(r"(?<=\.) (?=[A-Z])", text, maxsplit=1)[0]
