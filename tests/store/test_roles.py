"""Buckets that a request has made and set, on the emulator of Google Cloud Storage."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clio_argo.clusters import make_buckets
from clio_argo.errors import ClioError, MissingBucket, UserError
from clio_argo.model.request import Request
from clio_argo.model.storage import MakeBuckets
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run
from clio_argo.store.buckets import Bucket, Facts
from clio_argo.store.documents import Store
from clio_argo.store.roles import make_missing, set_roles
from tests import stores
from tests.stacks import demo_slices, request, write_stack

ROLES = ("viewer", "lossless", "temporary", "process")
SETTINGS = {"location": "us-east4", "public": True, "expire_days": 7, "archive_days": 365}


def asked(gcs: stores.Bucket, **settings: Any) -> Request:
    """A request with a bucket for each role."""
    places = {role: f"gs://{gcs.name}-{role}/fly" for role in ROLES}
    made = {k: v for k, v in {**SETTINGS, **settings}.items() if v is not None}
    return Request(id="fly", source="slices", buckets=places, make_buckets=made)


def facts(gcs: stores.Bucket) -> dict[str, Facts]:
    return {role: Bucket(f"{gcs.name}-{role}").facts() for role in (*ROLES, "run")}


def prepare(config: Request, run: str) -> Iterator[str]:
    yield from make_missing(config, run)
    yield from set_roles(config, run)


def prepared(gcs: stores.Bucket, config: Request) -> Iterator[str]:
    return prepare(config, f"gs://{gcs.name}-run/fly/")


def test_each_role_has_its_bucket(gcs: stores.Bucket) -> None:
    said = list(prepared(gcs, asked(gcs)))
    found = facts(gcs)
    assert all(f.ours and f.uniform and f.location == "US-EAST4" for f in found.values())
    assert [role for role, f in found.items() if f.public] == ["viewer"]
    assert [role for role, f in found.items() if f.cors] == ["viewer"]
    assert [role for role, f in found.items() if f.soft_delete_days == 0] == ["temporary"]
    rules = {role: [(r["action"]["type"], r["condition"]) for r in f.rules] for role, f in found.items()}
    assert rules["temporary"] == [("Delete", {"age": 7, "matchesPrefix": ["fly/"]})]
    assert rules["lossless"] == [("SetStorageClass", {"age": 365, "matchesPrefix": ["fly/"]})]
    assert not any(rules[role] for role in ("viewer", "process", "run"))
    told = "\n".join(said)
    assert all(f"gs://{gcs.name}-{role} was made in us-east4" in told for role in found)
    assert f"everybody can read gs://{gcs.name}-viewer" in told
    assert "every GB that is read costs" in told


def test_whoever_submits_is_told_what_the_pods_need(gcs: stores.Bucket, tmp_path: Path) -> None:
    config = asked(gcs).model_copy(update={"source": str(write_stack(tmp_path / "slices", demo_slices(3, 96)))})
    said = list[str]()
    make_buckets(config, f"gs://{gcs.name}-run/fly/", PIPELINE, said.append)
    assert "--role roles/storage.objectUser" in said[-1]


def test_a_second_time_only_what_differs_is_done(gcs: stores.Bucket) -> None:
    list(prepared(gcs, asked(gcs)))
    said = list(prepared(gcs, asked(gcs, public=False, expire_days=3)))
    assert not any("was made" in line for line in said)
    found = facts(gcs)
    assert [r["condition"]["age"] for r in found["temporary"].rules] == [3]
    assert found["viewer"].public, "a person ends it, by a command"


def test_nothing_is_done_to_buckets_that_others_made(gcs: stores.Bucket) -> None:
    config = asked(gcs).model_dump()
    config["buckets"]["lossless"] = f"gs://{gcs.name}/fly"
    with pytest.raises(UserError, match=f"buckets.lossless gs://{gcs.name}: has no label made-by=clio-argo"):
        list(prepared(gcs, Request.model_validate(config)))
    with pytest.raises(MissingBucket):
        facts(gcs)


def test_a_run_may_lie_in_a_bucket_of_others(gcs: stores.Bucket) -> None:
    assert list(prepare(asked(gcs), f"gs://{gcs.name}/fly/"))
    assert not Bucket(gcs.name).facts().ours
    assert list(prepare(asked(gcs), "file:///data/fly/"))


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({"viewer": "s3://clio-viewer/fly"}, "only buckets of Google Cloud Storage are made"),
        ({"viewer": "/data/fly"}, "only buckets of Google Cloud Storage are made"),
        ({"viewer": "gs://my-google-viewer/fly"}, "which is reserved"),
        ({"viewer": None}, "make_buckets.public: needs a bucket in buckets.viewer"),
        ({"temporary": None}, "make_buckets.expire_days: needs a bucket in buckets.temporary"),
        ({"lossless": None}, "make_buckets.archive_days: needs a bucket in buckets.lossless"),
        ({"viewer": "gs://slices/volumes"}, "also holds source gs://slices"),
        ({"viewer": "gs://clio-all/ng", "lossless": "gs://clio-all/full"}, "also holds lossless gs://clio-all/full"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_made(
    places: dict[str, Any], said: str, gcs: stores.Bucket
) -> None:
    config = asked(gcs).model_dump()
    config["buckets"].update(places)
    with pytest.raises(UserError, match=said):
        list(prepared(gcs, Request.model_validate(config)))
    with pytest.raises(MissingBucket):
        Bucket(f"{gcs.name}-run").facts()


@pytest.mark.parametrize("setting", [{"public": True}, {"expire_days": 7}, {"archive_days": 9}])
def test_settings_without_a_location_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="only with a location"):
        MakeBuckets(**setting)


def test_without_a_location_no_bucket_is_looked_at(gcs: stores.Bucket) -> None:
    before = gcs.log()
    assert not list(prepared(gcs, asked(gcs, location=None, public=None, expire_days=None, archive_days=None)))
    assert gcs.log() == before


@pytest.mark.properties
def test_a_run_makes_its_buckets(gcs: stores.Bucket, tmp_path: Path) -> None:
    folder = write_stack(tmp_path / "slices", demo_slices(3, 96))
    places = {f"buckets__{role}": f"gs://{gcs.name}-{role}/fly" for role in ROLES}
    config = request(folder, make_buckets__location="us-east4", make_buckets__public=True, **places)
    out = f"gs://{gcs.name}-run/fly"
    run(config, out, 1)
    assert all(f.ours for f in facts(gcs).values())
    assert all(Store(f"{places[f'buckets__{role}']}").names() for role in ROLES)
    # what is set may change from run to run, as no voxel depends on it
    assert run(config.model_copy(update={"make_buckets": MakeBuckets()}), out, 1).status == "complete"


def test_a_refused_run_changes_no_bucket(gcs: stores.Bucket, tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(2, 64))
    out, name = f"gs://{gcs.name}/fly", f"{gcs.name}-seen"
    Bucket(name).make("us-east4")
    places = {"buckets__viewer": f"gs://{name}/fly", "buckets__temporary": f"gs://{gcs.name}-tmp/fly"}
    asked_for = {"location": "us-east4", "public": True, "expire_days": 7}
    makes = {f"make_buckets__{key}": value for key, value in asked_for.items()}
    Store(out).write("somebody.txt", b"1")
    for config, why in (
        (request(source, **places, **makes), "holds no run"),
        (request(source, **places, **makes, max_bad=0, maxz=9999), "missing or unusable"),
    ):
        with pytest.raises(ClioError, match=why):
            run(config, out, 1)
    facts = Bucket(name).facts()
    assert (facts.public, facts.rules, facts.cors) == (False, [], [])
    with pytest.raises(MissingBucket):
        Bucket(f"{gcs.name}-tmp").facts()
