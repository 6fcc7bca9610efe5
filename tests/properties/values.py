"""Values for any setting of a request, drawn from the JSON schema, so that a new setting needs nothing here."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from clio_argo.model.request import Request

Values = SearchStrategy[Any]
PRINTABLE = st.characters(codec="utf-8", exclude_categories=("C", "Z"))
# what a schema leaves open ends here: beyond the pixels of a slice, and before numbers that are hard to read
LARGEST, LARGEST_NUMBER, LONGEST = 2**24, 1000, 12


def values_of(setting: str) -> Values:
    """Values that the schema allows for a setting (a dotted name); the request may still refuse some."""
    schema = Request.model_json_schema()
    found: Mapping[str, Any] = schema
    for name in setting.split("."):
        found = _resolved(found, schema)["properties"][name]
    return _values(found, schema)


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(part.get("$ref", "")).rpartition("/")[2]
    return schema["$defs"][name] if name else part


def _values(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Values:
    part = _resolved(part, schema)
    if "anyOf" in part:
        return st.one_of([_values(p, schema) for p in part["anyOf"]])
    if "enum" in part:
        return st.sampled_from(part["enum"])
    if "const" in part:
        return st.just(part["const"])
    return KINDS[part["type"]](part, schema)


def _integers(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Values:
    low = part.get("minimum", part.get("exclusiveMinimum", -1) + 1)
    high = part.get("maximum", part.get("exclusiveMaximum", low + LARGEST) - 1)
    powers = [2**k for k in range(high.bit_length()) if low <= 2**k <= high]
    return st.integers(low, high) | st.sampled_from([low, high, *powers])


def _numbers(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Values:
    low = part.get("minimum", part.get("exclusiveMinimum", 0))
    high = part.get("maximum", part.get("exclusiveMaximum", low + LARGEST_NUMBER))
    # sixteenths are exact in binary, and printed short
    steps = st.integers(int(low * 16), int(high * 16)).map(lambda n: n / 16)
    return steps.filter(lambda v: low < v < high or v in (part.get("minimum"), part.get("maximum")))


def _text(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Values:
    return st.text(PRINTABLE, min_size=max(1, part.get("minLength", 1)), max_size=part.get("maxLength", LONGEST))


def _arrays(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Values:
    if "prefixItems" in part:
        return st.tuples(*(_values(p, schema) for p in part["prefixItems"]))
    return st.lists(_values(part["items"], schema), max_size=3).map(tuple)


def _objects(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Values:
    if "properties" in part:
        return st.fixed_dictionaries({}, optional={n: _values(p, schema) for n, p in part["properties"].items()})
    return st.dictionaries(st.text(PRINTABLE, min_size=1), _values(part["additionalProperties"], schema), max_size=3)


KINDS = {
    "null": lambda part, schema: st.none(),
    "boolean": lambda part, schema: st.booleans(),
    "integer": _integers,
    "number": _numbers,
    "string": _text,
    "array": _arrays,
    "object": _objects,
}
