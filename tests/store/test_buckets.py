"""Buckets as people make and change them, on the emulator of Google Cloud Storage."""

import pytest
from typer.testing import CliRunner

from clio_argo.cli.app import app
from clio_argo.errors import MissingBucket, StoreError, UserError
from clio_argo.store.backends import BACKENDS
from clio_argo.store.backends import gcs as google
from clio_argo.store.buckets import Bucket
from clio_argo.store.documents import Store
from tests import stores


@pytest.fixture
def made(gcs: stores.Bucket) -> Bucket:
    bucket = Bucket(f"{gcs.name}-made")
    bucket.make("us-east4", temporary=True)
    return bucket


def test_a_bucket_is_made_private_uniform_and_ours(made: Bucket, gcs: stores.Bucket) -> None:
    facts = made.facts()
    assert (facts.location, facts.uniform, facts.public, facts.ours) == ("US-EAST4", True, False, True)
    assert (facts.soft_delete_days, facts.rules, facts.cors) == (0, [], [])
    kept = Bucket(f"{gcs.name}-kept")
    kept.make("us")
    assert kept.facts().soft_delete_days == 7
    with pytest.raises(StoreError, match="name is taken"):
        made.make("us")


def test_everybody_reads_only_while_it_is_published(made: Bucket) -> None:
    policy = google.client().bucket(made.name).get_iam_policy(requested_policy_version=3)
    policy.bindings.append({"role": "roles/storage.objectViewer", "members": {"user:a@example.com", "allUsers"}})
    google.client().bucket(made.name).set_iam_policy(policy)
    assert made.facts().public
    made.unpublish()
    assert not made.facts().public
    assert made.members() == {"user:a@example.com"}
    made.publish()
    made.publish()
    facts = made.facts()
    assert facts.public
    assert facts.cors[0]["origin"] == ["*"]
    members = [m for b in google.client().bucket(made.name).get_iam_policy().bindings for m in b["members"]]
    assert (members.count("user:a@example.com"), members.count("allUsers")) == (1, 1)


def test_what_must_not_be_public_stays_private(made: Bucket) -> None:
    bucket = google.client().get_bucket(made.name)
    bucket.iam_configuration.public_access_prevention = "enforced"
    bucket.patch()
    with pytest.raises(UserError, match="public access prevention is enforced"):
        made.publish()
    assert not made.facts().public


def test_rules_for_other_objects_stay(made: Bucket) -> None:
    made.expire("fly/tmp/", 7)
    made.expire("bee/tmp/", 3)
    made.archive("COLDLINE", "", 30)
    made.expire("fly/tmp/", 5)
    made.archive("NEARLINE", "", 60)
    rules = {(r["action"]["type"], *r["condition"].get("matchesPrefix", [])): r for r in made.facts().rules}
    assert {key: r["condition"]["age"] for key, r in rules.items()} == {
        ("Delete", "fly/tmp/"): 5,
        ("Delete", "bee/tmp/"): 3,
        ("SetStorageClass",): 60,
    }
    assert rules["SetStorageClass",]["action"]["storageClass"] == "NEARLINE"
    assert len(made.facts().rules) == 3


def test_only_our_buckets_are_deleted_by_their_name(made: Bucket, gcs: stores.Bucket) -> None:
    store = Store(f"gs://{made.name}")
    for name in ("a", "b/c"):
        store.write(name, b"1")
    with pytest.raises(UserError, match="is not its name"):
        made.delete("another")
    with pytest.raises(UserError, match="somebody else made it"):
        Bucket(gcs.name).delete(gcs.name)
    assert store.names() == ["a", "b/c"]
    assert made.delete(made.name) == 2
    with pytest.raises(MissingBucket):
        made.facts()


@pytest.mark.parametrize(
    ("scheme", "name", "words"),
    [
        ("gs", "ab", "2 characters"),
        ("gs", "a" * 64, "64 characters"),
        ("gs", "Fly", "lower-case"),
        ("gs", "-fly", "begins and ends"),
        ("gs", "192.168.5.4", "internet address"),
        ("gs", f"{'a' * 64}.b", "between dots"),
        ("s3", "a_bc", "lower-case"),
        ("s3", "a..b", "between dots"),
        ("gs", "fly_1.example-2", None),
        ("s3", "fly-1", None),
    ],
)
def test_names_follow_the_rules_of_the_store(scheme: str, name: str, words: str | None) -> None:
    found = "; ".join(BACKENDS[scheme].bucket_problems(name))
    assert words in found if words else not found


def test_names_of_google_are_not_made() -> None:
    with pytest.raises(UserError, match="reserved"):
        Bucket("my-google-bucket").make("us")


def said(*arguments: str) -> str:
    """What a command prints, or the error that it ends with."""
    done = CliRunner().invoke(app, ["bucket", *arguments])
    return str(done.exception) if done.exception else done.output


def test_the_commands_say_what_they_do(gcs: stores.Bucket) -> None:
    name = f"{gcs.name}-cli"
    assert f"gs://{name} was made in us-east4" in said("make", f"gs://{name}", "--location", "us-east4")
    assert "everybody on the internet can read" in said("publish", name)
    assert "every GB that is read costs $0.02" in said("archive", name, "--class", "coldline", "--yes")
    assert "name a folder" in said("expire", name, "--folder", "/")
    assert "readers      only named accounts" in said("show", name)
    assert "is not its name" in said("delete", name, "--name-again", "other")
    assert said("delete", name, "--name-again", name) == f"gs://{name} and 0 objects in it are deleted\n"
    assert "there is no bucket" in said("show", name)


@pytest.mark.parametrize("command", [("publish", "--public"), ("expire",), ("archive", "--yes")])
def test_buckets_of_others_are_changed_only_on_request(gcs: stores.Bucket, command: tuple[str, ...]) -> None:
    before = Bucket(gcs.name).facts()
    assert "somebody else made it; not changed; give --foreign" in said(command[0], gcs.name, *command[1:])
    assert Bucket(gcs.name).facts() == before
    said(command[0], gcs.name, *command[1:], "--foreign")
    assert Bucket(gcs.name).facts() != before
