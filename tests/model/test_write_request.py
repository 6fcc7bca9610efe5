"""Requests that the program writes: they read as they were meant, whatever a name holds, and say what they set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clio_argo.model.parse_request import build_request, field_paths, parse_text
from clio_argo.model.request import Request
from clio_argo.model.strict_yaml import parse_yaml, yaml_value
from clio_argo.model.write_request import commented_request
from tests.faults.test_names import texts

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
EXAMPLES = [
    "no",
    "0o7",
    "1e3",
    "1:30",
    "~",
    "a: b",
    "a #b",
    "%d.png",
    "'",
    '"',
    "\u2028x\x85",
    " x ",
    "- a",
    "😀",
    "é",
    "a\n\nb",
]


@given(value=values)
def test_a_value_stays_on_one_line_and_reads_as_it_was(value: object) -> None:
    assert parse_yaml(f"a:\n  # b\n  c: {(text := yaml_value(value))}  # d\ne: 1", "x") == {"a": {"c": value}, "e": 1}
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("text", EXAMPLES)
def test_texts_that_yaml_means_otherwise_are_quoted_and_others_are_not(text: str) -> None:
    assert parse_yaml(f"a: {yaml_value(text)}", "x") == {"a": text}
    assert yaml_value("iso.%05d.png") == "iso.%05d.png"


@given(name=texts, folder=texts, image=st.none() | texts, note=texts)
def test_a_written_request_reads_as_the_same_request(name: str, folder: str, image: str | None, note: str) -> None:
    request = Request(id=name[:200], source=folder, image=image, minz=3, labels={"a": "b"} if image else {})
    text = commented_request(request, note, {"id": note, "minz": note})
    assert build_request(parse_text(text, "x")) == request


def test_what_differs_from_its_default_is_written_with_its_section() -> None:
    settings = {"contrast.invert": True, "contrast.clip_limit": 0, "resolution": [4, 4, 30], "viewer.scales": [1, 2]}
    request = build_request({"id": "a", "source": "b", "max_bad": 3, **settings})
    text = commented_request(request, "head", {"max_bad": "why"})
    assert build_request(parse_text(text, "x")) == request
    assert text.splitlines()[0] == "# head"
    assert "resolution: [4, 4, 30]\n" in text
    assert (
        "contrast:\n  # CLAHE clip limit as a fraction of a tile's pixels (tiles of 1024 px); 0 turns CLAHE off.\n"
        in text
    )
    assert (
        "  clip_limit: 0\n  # Swap black and white, since backscattered-electron images are often inverted.\n" in text
    )
    assert "  invert: true\n\nviewer:\n" in text
    assert "max_bad: 3  # why\n" in text
    assert "flicker" not in text


def test_every_setting_can_be_written_under_one_line_of_its_meaning() -> None:
    others = {
        "id": "x", "source": "y", "image": "a%d", "image_regex": None, "minz": 2, "maxz": 3, "channel": 1, "time": 1,
        "positions": "p", "overrides": "o", "transforms": "t", "ignore_mask": "m", "project": "p", "workers": 2,
        "resolution": 4, "alignment.model": "rigid", "bad_slices": "black", "labels": {"a": "b"}, "notify.email": ["x"],
    }  # fmt: skip
    assert others.keys() <= set(field_paths())
    text = commented_request(build_request({k: v for k, v in others.items() if v is not None}), "", {})
    assert all(f"{path.rpartition('.')[2]}: " in text for path, value in others.items() if value is not None)
