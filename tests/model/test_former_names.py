"""Documents of layout 1 are read by the names that version 0.1 gave their fields; a real run is in tests/data/runs."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from clio_argo.errors import UserError
from clio_argo.model.alignment import Fits, PairFit, PlacedSlice, Planes, RematchUnit, Suspects, Transforms
from clio_argo.model.base import Document, Value, former_names
from clio_argo.model.plan import FanOut, Remark
from clio_argo.model.quality import PairSimilarity, Quality, QualitySummary
from clio_argo.model.run import Completion

MATRIX = ((1.0, 0.0, 5.0), (0.0, 1.0, -7.0))
FIT_1 = {
    "z0": 3490, "z1": 3491, "matrix": MATRIX, "model": "affine", "way": "person", "inliers": 11, "correlation": 0.99,
    "residual_px": 0.88, "spread": 0.3, "noise_px": 0.12, "agreement": 0.34, "hidden": (0.03, 0.04), "reason": "why",
}  # fmt: skip
FIT = PairFit(
    z0=3490, z1=3491, matrix=MATRIX, model="affine", method="manual", inliers=11, correlation=0.99, residual_px=0.88,
    coverage=0.3, noise_px=0.12, worst_tile_correlation=0.34, occluded=(0.03, 0.04), reason="why",
)  # fmt: skip
SLICE_1 = {
    "z": 3491, "file": "iso.03491.png", "page": 0, "verdict": "bad", "reason": "links", "by_hand": True,
    "matrix": MATRIX, "placed_by": "links", "shown": (3490,), "digest": "57b6f350", "grey": None,
}  # fmt: skip
SLICE = PlacedSlice(
    z=3491, file="iso.03491.png", verdict="bad", reason="links", manual=True, matrix=MATRIX, placed_by="pairs",
    source_slices=(3490,), digest="57b6f350",
)  # fmt: skip
SIMILARITY_1 = {"z0": 1, "z1": 2, "correlation": 0.5, "usual": 0.9, "low": True}
SIMILARITY = PairSimilarity(z0=1, z1=2, correlation=0.5, local_median=0.9, outlier=True)
SUMMARY = QualitySummary(pairs=4, median=0.8, lowest=SIMILARITY, outliers=(SIMILARITY,))
DONE = {
    "id": "fly", "status": "complete", "version": "0.1.0", "config_digest": "0badcafe", "flagged": [],
    "bad_slices": "nearest", "slices": 5, "ng": "file:///fly/ng", "aligned": None, "link": "", "objects": 3, "bytes": 9,
    "manifest": "ab",
}  # fmt: skip
# fields of layout 1, and the document that they are
GOLDEN: list[tuple[dict[str, Any], Document]] = [
    ({"unit": 3, "fits": [FIT_1]}, Fits(unit=3, fits=(FIT,))),
    (
        {
            "remarks": [{"z": 3, "verdict": "suspect", "reason": "dark"}],
            "relinks": [{"unit": 0, "last": 1, "pairs": [[1, 3]]}],
            "relink": {"units": 1, "parts": 1},
        },
        Suspects(
            remarks=(Remark(z=3, verdict="suspect", reason="dark"),),
            rematch_units=(RematchUnit(unit=0, last=1, pairs=((1, 3),)),),
            rematch=FanOut(units=1, parts=1),
        ),
    ),
    (
        {"width": 90, "height": 80, "fits": [FIT_1], "slices": [SLICE_1]},
        Transforms(width=90, height=80, fits=(FIT,), slices=(SLICE,)),
    ),
    ({"window": None, "shown": [[SLICE_1]]}, Planes(window=None, sources=((SLICE,),))),
    ({"pairs": [SIMILARITY_1]}, Quality(pairs=(SIMILARITY,))),
    (
        {**DONE, "quality": {"pairs": 4, "median": 0.8, "lowest": SIMILARITY_1, "low": [SIMILARITY_1]}},
        Completion.model_validate({**DONE, "quality": SUMMARY}),
    ),
]


@pytest.mark.parametrize(("fields", "document"), GOLDEN, ids=[type(d).__name__ for _, d in GOLDEN])
def test_layout_1_is_read_and_written_as_layout_2(fields: dict[str, Any], document: Document) -> None:
    old = json.dumps({"schema_version": 1, **fields}).encode()
    read = type(document).from_bytes(old, "x.json")
    assert read == document
    assert json.loads(read.to_bytes())["schema_version"] == 2
    assert type(document).from_bytes(read.to_bytes(), "x.json") == document


def test_every_document_of_layout_2_has_a_golden_one() -> None:
    kinds = {k for k in Document.__subclasses__() if k.SCHEMA_VERSION > 1}
    assert kinds == {type(document) for _, document in GOLDEN}


def test_the_quality_of_an_older_completion_is_read() -> None:
    old = {"pairs": 4, "median": 0.8, "lowest": SIMILARITY_1, "low": [SIMILARITY_1]}
    assert QualitySummary.model_validate(old) == SUMMARY


def test_imported_transforms_were_called_given() -> None:
    assert PlacedSlice.model_validate({**SLICE_1, "placed_by": "given"}).placed_by == "imported"


class Sample(Value):
    """Two words and a free text."""

    _former = former_names({"way": "method"}, method={"person": "manual"})
    method: str
    other: str = ""


words = st.sampled_from(["person", "manual", "way", "method"]) | st.text(max_size=5)


@given(words, words)
def test_former_names_say_the_same_as_current_ones(method: str, other: str) -> None:
    current = Sample(method="manual" if method == "person" else method, other=other)
    assert Sample.model_validate({"way": method, "other": other}) == current
    assert Sample.model_validate({"method": method, "other": other}) == current


@given(words)
def test_words_are_translated_in_their_own_field_only(other: str) -> None:
    assert Sample.model_validate({"way": "features", "other": other}).other == other


@given(words, words)
def test_what_was_translated_is_not_translated_again(method: str, other: str) -> None:
    once = Sample.model_validate({"way": method, "other": other})
    assert Sample.model_validate(once.model_dump()) == once


@given(words, words)
def test_a_field_under_both_of_its_names_is_refused(former: str, current: str) -> None:
    with pytest.raises(ValidationError, match="way"):
        Sample.model_validate({"way": former, "method": current})


@pytest.mark.parametrize("data", [None, 3, "way", ["way"], {"way": ["person"]}, {"way": {}}])
def test_what_holds_no_words_is_refused(data: object) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate(data)


def test_a_misspelled_field_of_layout_1_is_refused() -> None:
    with pytest.raises(UserError, match="wey"):
        Fits.from_bytes(json.dumps({"schema_version": 1, "unit": 0, "fits": [], "wey": 1}).encode(), "x.json")
