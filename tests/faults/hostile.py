"""Documents and files as somebody who means harm, or a broken disk, would leave them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

Place = tuple[str | int, ...]
NAMES = (
    "../../escape",
    "/etc/passwd",
    "..",
    "a/../../escape",
    "file:///etc/passwd",
    "\0",
    "-rf",
    "$(touch escape)",
    "`touch escape`",
    "{{workflow.name}}",
    "'; drop",
    "x: [y\n- z",
    "a\nb",
    "%s%n%d",
    "x" * 5000,
    "\ud800",
    "🪰",
    "",
)
NUMBERS = (0, -1, 1, 2, 3, 7, 255, 2**31, 2**63, -(2**63), 10**30, 0.5, 1e-300, 1e308, float("nan"), float("inf"))
OTHERS = (None, True, [], {}, [[]], {"": None}, [None] * 3)
values = st.sampled_from([*NAMES, *NUMBERS, *OTHERS])


def places(document: Any, here: Place = ()) -> Iterator[Place]:
    """Every place in a JSON value, its own included."""
    yield here
    pairs = dict[Any, Any](document if isinstance(document, dict) else {})
    pairs = pairs or dict(enumerate(document if isinstance(document, list) else ()))
    for key, value in pairs.items():
        yield from places(value, (*here, key))


def changed(document: Any, place: Place, change: Any) -> Any:
    """The JSON value with `change(value)` at a place."""
    if not place:
        return change(document)
    copy, (key, *rest) = document.copy(), place
    copy[key] = changed(document[key], tuple(rest), change)
    return copy


def without(document: Any, place: Place) -> Any:
    """The JSON value without what is at a place."""
    if len(place) < 2:
        return {k: v for k, v in document.items() if (k,) != place}
    copy, (key, *rest) = document.copy(), place
    copy[key] = without(document[key], tuple(rest)) if isinstance(document[key], dict) else document[key][:-1]
    return copy


@st.composite
def spoiled_json(draw: st.DrawFn, original: bytes) -> bytes:
    """A document with one to three values exchanged, lost or doubled, or one value put in the place of another."""
    document = json.loads(original)
    for _ in range(draw(st.integers(1, 3))):
        everywhere = list(places(document))
        place = draw(st.sampled_from(everywhere))
        match draw(st.sampled_from(["value", "lost", "doubled", "moved"])):
            case "value":
                new = draw(values)
                document = changed(document, place, lambda _, new=new: new)
            case "lost" if isinstance(document, dict):
                document = without(document, place)
            case "doubled":
                document = changed(document, place, lambda v: v + v if isinstance(v, list | str) else v)
            case _:
                other = found(document, draw(st.sampled_from(everywhere)))
                document = changed(document, place, lambda _, other=other: other)
    return json.dumps(document).encode()


def found(document: Any, place: Place) -> Any:
    for key in place:
        document = document[key]
    return document


@st.composite
def spoiled_bytes(draw: st.DrawFn, original: bytes) -> bytes:
    """Some bytes exchanged, and perhaps cut off or doubled at the end."""
    data = bytearray(original)
    for at in draw(st.lists(st.integers(0, len(data) - 1), max_size=8)):
        data[at] = draw(st.integers(0, 255))
    end = draw(st.integers(0, len(data)))
    return bytes(draw(st.sampled_from([data, data[:end], data + data[:end]])))


def spoiled(original: bytes) -> st.SearchStrategy[bytes]:
    return spoiled_json(original) | spoiled_bytes(original) if original[:1] == b"{" else spoiled_bytes(original)


def one_of_each(originals: Mapping[str, bytes]) -> st.SearchStrategy[tuple[str, bytes]]:
    """(name, spoiled content) of one of several objects."""
    return st.sampled_from(sorted(originals)).flatmap(lambda n: st.tuples(st.just(n), spoiled(originals[n])))
