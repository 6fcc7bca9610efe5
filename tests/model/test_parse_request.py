"""What people write: the predecessor's documents, YAML, dotted settings, and everything that is wrong with them."""

import itertools
import json
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from clio_argo.errors import UserError
from clio_argo.model.parse_request import build_request, differing_keys, field_paths, parse_setting, parse_text
from clio_argo.model.request import Request
from clio_argo.model.strict_yaml import parse_yaml
from clio_argo.model.voxel_size import ASSUMED_NM

NEEDED = {"id": "stack", "source": "slices"}
PREDECESSOR = {
    "id": "slice2",
    "source": "my_bucket",
    "image": "img.%05d.png",
    "minz": 3493,
    "maxz": 3494,
    "email": "someone@example.org",
    "project_id": "my-project",
    "resolution": 10,
    "downsample_factor": 4,
    "skip_align": True,
    "clip-limit": 0.01,
    "createRawPyramid": False,
}
SPELLINGS = {
    "email": ["email", "mail"],
    "project_id": ["project_id", "project"],
    "clip-limit": ["clip-limit", "clip_limit"],
    "createRawPyramid": ["createRawPyramid", "rawPyramid"],
}


def built(**settings: Any) -> Request:
    return build_request(NEEDED, settings)


def refusal(*layers: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        build_request(*layers)
    return str(caught.value)


# --- the predecessor's documents


@pytest.mark.parametrize("names", list(itertools.product(*SPELLINGS.values())))
def test_the_predecessors_documents_work_in_every_spelling(names: tuple[str, ...]) -> None:
    spelled = dict(zip(SPELLINGS, names, strict=True))
    document = json.dumps({spelled.get(k, k): v for k, v in PREDECESSOR.items()})
    config = build_request(parse_text(document, "request.json"))
    assert config == Request.model_validate(
        {
            "id": "slice2",
            "source": "my_bucket",
            "image": "img.%05d.png",
            "minz": 3493,
            "maxz": 3494,
            "notify": {"email": ["someone@example.org"]},
            "project": "my-project",
            "resolution": (10, 10, 10),
            "alignment": {"downsample": 4, "skip": True},
            "contrast": {"clip_limit": 0.01},
            "lossless": False,
        }
    )


def test_the_predecessors_defaults_are_ours() -> None:
    needed = {k: PREDECESSOR[k] for k in ("id", "source", "image", "minz", "maxz", "email")}
    config = build_request(needed)
    assert (config.resolution, ASSUMED_NM) == (None, (8, 8, 8))
    assert (config.alignment.downsample, config.alignment.skip) == (1, False)
    assert (config.contrast.clip_limit, config.lossless) == (0.02, True)


def test_two_spellings_of_one_setting_may_agree_but_not_differ() -> None:
    assert built(email="a@b.org", mail="a@b.org").notify.email == ("a@b.org",)
    assert "email and mail mean the same and differ" in refusal(NEEDED, {"email": "a@b.org", "mail": "c@d.org"})
    text = refusal(NEEDED, {"clip-limit": 0.1, "contrast": {"clip_limit": 0.2}})
    assert "clip-limit and contrast.clip_limit mean the same and differ" in text


# --- keys


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("minZ", "minz"),
        ("resolutoin", "resolution"),
        ("skip_aling", "skip_align"),
        ("cliplimit", "clip_limit"),
        ("alignment.dwonsample", "alignment.downsample"),
        ("alignment.clip_limit", "contrast.clip_limit"),
        ("jpeg_quality", "viewer.jpeg_quality"),
        ("rawpyramid", "rawPyramid"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_name(key: str, near: str) -> None:
    text = refusal(NEEDED, {key: 1})
    assert f"unknown setting {key!r}; did you mean {near!r}?" in text


def test_a_key_like_no_other_is_refused_without_a_guess() -> None:
    text = refusal(NEEDED, {"qqqqqqqq": 1})
    assert "unknown setting 'qqqqqqqq'" in text
    assert "did you mean" not in text


def test_all_unknown_keys_of_all_layers_are_named_at_once() -> None:
    text = refusal(NEEDED, {"minzz": 1, "alignment": {"skipp": True}}, {"viewer.chnk": 64})
    assert all(repr(k) in text for k in ("minzz", "alignment.skipp", "viewer.chnk"))


def test_unknown_keys_and_values_out_of_range_are_named_at_once() -> None:
    text = refusal(NEEDED, {"minzz": 1, "memory_gib": 0, "viewer": {"chunk": 48}})
    assert "minzz" in text
    assert "memory_gib" in text
    assert "viewer.chunk: must be a power of two" in text


def test_every_setting_can_be_given_by_its_dotted_name() -> None:
    config = built(minz=2, maxz=5, image="a%d.png", notify={"email": ["a@b.org"]})
    flat: dict[str, Any] = dict.fromkeys(field_paths())
    for path in flat:
        value: Any = config
        for name in path.split("."):
            value = getattr(value, name)
        flat[path] = value
    assert build_request(flat) == config


def test_a_section_can_be_given_whole_and_changed_by_dotted_settings() -> None:
    config = build_request(
        NEEDED, {"viewer": {"chunk": 32, "jpeg_quality": 70}}, parse_setting("viewer.jpeg_quality=90")
    )
    assert (config.viewer.chunk, config.viewer.jpeg_quality) == (32, 90)


def test_a_later_spelling_overrides_an_earlier_one() -> None:
    assert build_request(NEEDED, {"clip-limit": 0.1}, {"contrast.clip_limit": 0}).contrast.clip_limit == 0


def test_labels_are_free_and_may_hold_dots() -> None:
    config = build_request(NEEDED, {"labels": {"lab": "x", "a.b/c": "y"}}, parse_setting("labels.lab=z"))
    assert config.labels == {"lab": "z", "a.b/c": "y"}


@pytest.mark.parametrize("section", ["alignment", "contrast", "viewer", "notify"])
@pytest.mark.parametrize("value", [3, "text", False, [1]])
def test_a_section_given_a_plain_value_says_what_belongs_there(section: str, value: object) -> None:
    inner = next(p for p in field_paths() if p.startswith(f"{section}."))
    text = refusal(NEEDED, {section: value})
    assert f"{section}: expected a section of settings such as {inner}" in text
    assert repr(value) in text


@pytest.mark.parametrize("section", ["alignment", "contrast", "viewer", "notify", "labels"])
def test_a_section_left_empty_keeps_its_defaults(section: str) -> None:
    assert build_request(NEEDED, parse_text(f"{section}:\n", "r.yaml")) == built()


@pytest.mark.parametrize("layers", [[{"labels": 3}, {"labels": {"a": "b"}}], [{"labels.a": "b", "labels": "c"}]])
def test_labels_given_a_plain_value_are_refused(layers: list[dict[str, Any]]) -> None:
    assert "labels: expected a section" in refusal(NEEDED, *layers)


# --- --set


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("contrast.clip_limit=0", "contrast.clip_limit", 0),
        (" minz = 3 ", "minz", 3),
        ("resolution=[4, 4, 40]", "resolution", [4, 4, 40]),
        ("image=a=%d.png", "image", "a=%d.png"),
        ("lossless=false", "lossless", False),
        ("workers=", "workers", None),
    ],
)
def test_a_setting_on_the_command_line_is_a_yaml_value(text: str, key: str, value: object) -> None:
    assert parse_setting(text) == {key: value}


SCHEMA: dict[str, Any] = Request.model_json_schema()


def is_array(path: str) -> bool:
    """Whether the JSON schema of a request says that a setting is a list."""
    shown = SCHEMA
    for name in path.split("."):
        shown = shown["properties"][name]
        shown = SCHEMA["$defs"][shown["$ref"].rpartition("/")[2]] if "$ref" in shown else shown
    return any(kind.get("type") == "array" for kind in [shown, *shown.get("anyOf", [])])


LISTS = {
    "resolution": "4,4,40",
    "notify.email": "a@example.org,b@example.org",
    "follow.notify_on": "bad,jump",
    "ignore": "{x: [0, 9], y: [0, 9]}, {x: [0, 5], y: [7, 9]}",
}


@pytest.mark.parametrize("path", list(filter(is_array, field_paths())))
def test_a_list_needs_no_brackets_which_shells_take_for_patterns(path: str) -> None:
    inner = LISTS.get(path, "1, 99")
    bare, whole = (build_request(NEEDED, parse_setting(f"{path}={text}")) for text in (inner, f"[{inner}]"))
    assert bare.setting(path) == whole.setting(path) != build_request(NEEDED).setting(path)


def test_one_rectangle_and_text_with_a_comma_are_what_they_are() -> None:
    assert len(built(**parse_setting("ignore={x: [0, 9], y: [0, 9]}")).ignore) == 1
    assert parse_setting("id=a,b") == {"id": "a,b"}
    assert parse_setting("email=a@b,c@d") == {"email": ["a@b", "c@d"]}


@pytest.mark.parametrize(
    "text", ["minz", "=3", "  =3", "", "resolution=[4", "a=!!timestamp x", "a=!!bool x", "a=" + "[" * 5000]
)
def test_a_setting_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--set"):
        parse_setting(text)


# --- values


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_gap", -1),
        ("maxz", 3.5),
        ("resolution", 0),
        ("resolution", [8, 8]),
        ("resolution", [8, 8, -8]),
        ("resolution", float("inf")),
        ("resolution", 1e-300),
        ("resolution", 1e300),
        ("crop.x", [0, 10**20]),
        ("viewer.window", [0, 1e300]),
        ("memory_gib", 1e300),
        ("resolution", float("nan")),
        ("alignment.downsample", 0),
        ("alignment.downsample", 65),
        ("alignment.model", "projective"),
        ("contrast.clip_limit", -0.01),
        ("contrast.clip_limit", 1.5),
        ("contrast.clip_limit", float("nan")),
        ("background", 65536),
        ("viewer.jpeg_quality", 101),
        ("viewer.chunk", 8),
        ("viewer.chunk", 48),
        ("viewer.window", [200, 100]),
        ("viewer.window", [float("-inf"), float("inf")]),
        ("max_bad", -1),
        ("max_bad", 1.5),
        ("memory_gib", 0),
        ("memory_gib", float("inf")),
        ("workers", 0),
        ("id", ""),
        ("source", ""),
        ("schema_version", 2),
        ("schema_version", "2"),
        ("notify.email", 3),
        ("labels.a", 3),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(setting: str, value: object) -> None:
    text = refusal(NEEDED, {setting: value})
    assert setting.removesuffix(".a") in text


def test_all_values_out_of_range_are_named_at_once() -> None:
    text = refusal({"max_gap": -1, "viewer": {"chunk": 7}})
    assert all(f"  - {k}: " in text for k in ("id", "source", "max_gap", "viewer.chunk"))


def test_contradictions_are_refused() -> None:
    assert "minz (5) is above maxz (3)" in refusal(NEEDED, {"minz": 5, "maxz": 3})
    assert "give image or image_regex" in refusal(NEEDED, {"image": "%d.png", "image_regex": "(.*)"})
    held, followed = {"alignment": {"trend": "recorded"}}, {"alignment": {"trend": "images"}}
    assert "anchor: false does not" in refusal(NEEDED, held, {"alignment.anchor": False})
    assert "there are none" in refusal(NEEDED, followed, {"alignment.skip": True})
    assert "transforms places them" in refusal(NEEDED, followed, {"transforms": "t.csv"})


@pytest.mark.parametrize(
    ("written", "read"),
    [("", ()), ("a@b.org", ("a@b.org",)), (" a@b.org, c@d.org\n", ("a@b.org", "c@d.org")), (["a@b.org"], ("a@b.org",))],
)
def test_addresses_may_be_one_text_or_a_list(written: object, read: tuple[str, ...]) -> None:
    assert built(email=written).notify.email == read


@pytest.mark.parametrize(("given_", "slices", "allowed"), [(0.01, 1000, 10), (0.01, 99, 0), (3, 10, 3), (0, 10, 0)])
def test_max_bad_is_a_count_or_a_fraction(given_: float, slices: int, allowed: int) -> None:
    assert built(max_bad=given_).allowed_bad(slices) == allowed


def test_a_huge_wrong_value_is_shown_short() -> None:
    assert len(refusal(NEEDED, {"minz": "x" * 100_000, "viewer.window": list(range(10**5))})) < 2000


# --- text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]",
        "just words",
        "id: [unclosed",
        "id: !!python/object/apply:os.getcwd []",
        "id: !!timestamp nonsense",
        "id: !!bool nonsense",
        "id: !!int ''",
        "id: x\nid: y",
        "alignment: {skip: true, skip: false}",
        '{"id": 1, "id": 2}',
        "a: &a {b: c}\nd: {<<: *a}",
        "a: &a [x]\nb: [*a, *a]",
        "minz: 0x" + "f" * 40,
        'id: "\\ud83e"',
        "a: !!int x",
        "a: !!float x",
        "? [a]\n: b",
        "a: " + "[" * 5000,
        "a: " + "9" * 5000,
        "\x00",
        "a: &a [*a]",
        "alignment: &a {alignment: *a}",
        "id: !!set {a, b}",
        "? 2024-01-01\n: !!binary 1",
    ],
)
def test_text_that_is_no_mapping_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(UserError, match=r"request\.yaml"):
        parse_text(text, "request.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("no", "no"),
        ("On", "On"),
        ("True", True),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("", None),
        ("=", "="),
        ('"\\ud83e\\udeb0"', "🪰"),
        ("&a x", "x"),
    ],
)
def test_values_have_the_types_of_yaml_1_2(text: str, value: object) -> None:
    read = parse_setting(f"a={text}")["a"]
    assert (read, type(read)) == (value, type(value))


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**28), 10**28)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(st.characters(exclude_categories=["Cs", "Cc"])), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_json_is_read_as_it_is(value: Any) -> None:
    assert parse_yaml(json.dumps(value), "x") == value


@pytest.mark.parametrize(
    "text",
    [
        "minz: 2024-01-01 10:00:00",
        "id: ~",
        "source: 12",
        "resolution: yes",
        "1: 2",
        "~: 1",
        "? 2024-01-01\n: 1",
        "notify: {email: {a: b}}",
    ],
)
def test_odd_yaml_values_are_refused_without_a_stack_trace(text: str) -> None:
    refusal(NEEDED, parse_text(text, "request.yaml"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
sections = ["alignment", "contrast", "viewer", "notify", "labels", "labels.a", "labels."]
keys = st.sampled_from([*field_paths(), *PREDECESSOR, *sections]) | st.text(max_size=6) | st.integers() | st.none()
documents = st.dictionaries(keys, json_values, max_size=4)


@example({"labels": 3, "labels.a": "x"})
@example({"id": "\ud800"})
@example({"labels": {"\ud800": "a"}})
@example({"resolution": 10**400})
@example({"labels": {"a": "\ud800"}})
@given(documents)
def test_any_document_is_a_request_or_refused(document: dict[Any, Any]) -> None:
    try:
        config = build_request(NEEDED, document)
    except UserError:
        return
    assert Request.from_bytes(config.to_bytes(), "config.json") == config


@pytest.mark.parametrize("path", [*field_paths(), "labels.a"])
def test_a_value_that_is_no_text_is_refused_by_the_name_of_its_setting(path: str) -> None:
    # as an argument of other bytes than UTF-8 arrives
    assert path in refusal(NEEDED, {path: "slices\udcff"})


@given(st.text(max_size=40) | st.recursive(json_values, st.lists, max_leaves=3).map(repr) | documents.map(yaml.dump))
def test_any_text_is_a_mapping_or_refused(text: str) -> None:
    try:
        value = parse_text(text, "request.yaml")
    except UserError:
        return
    assert isinstance(value, dict)


@given(st.text(max_size=30))
def test_any_setting_is_read_or_refused(text: str) -> None:
    with suppress(UserError):
        build_request(NEEDED, parse_setting(text))


# --- differences


def test_equal_requests_do_not_differ_whoever_is_told_and_however_many_work() -> None:
    assert differing_keys(built(), built(workers=3, email="a@b.org", labels={"a": "b"})) == []


def test_different_requests_name_the_settings_from_theirs_to_ours() -> None:
    ours, theirs = built(minz=1, clip_limit=0), built(minz=2, resolution=(8, 8, 30))
    assert differing_keys(ours, theirs) == [
        "contrast.clip_limit: 0.02 -> 0.0",
        "minz: 2 -> 1",
        "resolution: [8.0, 8.0, 30.0] -> None",
    ]


def test_the_legacy_spelling_makes_no_other_request() -> None:
    assert differing_keys(built(clip_limit=0.1), built(contrast={"clip_limit": 0.1})) == []
