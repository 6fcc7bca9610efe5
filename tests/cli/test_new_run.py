"""Ids that no second run has: their form, `{id}` in a place, and that going on never begins another run unseen."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from clio_argo.argo.words import LABEL_VALUE
from clio_argo.cli.app import app
from clio_argo.cli.new_run import place_of
from clio_argo.errors import UserError
from clio_argo.model.unique_id import LONGEST_NAME, new_id, plain_name
from clio_argo.store.backends import BACKENDS
from tests.stacks import TYPED, cli, request

CLOSED = "127.0.0.1:9"
MADE = re.compile(r"fly-[bcdfghjklmnpqrstvwxz2456789]{12}")
names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?", fullmatch=True).filter(lambda n: "goog" not in n)


@given(names)
def test_an_id_is_a_name_of_buckets_and_kubernetes(name: str) -> None:
    made = new_id(name)
    assert made.startswith(f"{name}-")
    assert not [p for scheme in ("gs", "s3") for p in BACKENDS[scheme].bucket_problems(made)]
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", made)
    assert not LABEL_VALUE.problem(made)


def test_no_two_are_alike() -> None:
    assert len({new_id("fly") for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "must hold lower-case"),
        ("Fly", "must hold lower-case"),
        ("fly_1", "must hold lower-case"),
        ("-fly", "begin and end with"),
        ("fly\n", "begin and end with"),
        ("f" * (LONGEST_NAME + 1), f"has {LONGEST_NAME + 1} characters; at most {LONGEST_NAME}"),
        ("google-fly", "reserved"),
    ],
)
def test_a_name_that_cannot_begin_one_is_refused_with_all_reasons(name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        new_id(name)


@given(st.text())
def test_every_request_has_a_name_for_it(text: str) -> None:
    plain = plain_name(text)
    assert "goog" in plain or new_id(plain)


def test_the_command_prints_one() -> None:
    assert MADE.fullmatch(CliRunner().invoke(app, ["new-id", "fly"]).stdout.rstrip("\n"))
    refused = CliRunner().invoke(app, ["new-id", "Fly_1"])
    assert refused.stdout == ""
    assert str(refused.exception).startswith("'Fly_1' cannot begin a name")


def test_a_place_without_an_id_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with place_of("gs://bucket/fly", request("slices", id="fly")) as place:
        assert (place.root, place.id) == ("gs://bucket/fly", None)
    assert capsys.readouterr().err == ""


def test_an_id_that_is_made_already_is_the_id_of_its_run(capsys: pytest.CaptureFixture[str]) -> None:
    mine = new_id("fly")
    for _ in range(2):
        with place_of("gs://bucket/{id}", request("slices", id=mine)) as place:
            assert (place.root, place.id) == (f"gs://bucket/{mine}", None)
    assert capsys.readouterr().err == ""


def test_folders_of_buckets_have_the_id_of_their_run() -> None:
    asked = request("slices", id="Fly", buckets__viewer="gs://public/{id}", buckets__temporary="gs://tmp/a")
    with place_of("gs://bucket/{id}", asked) as first, place_of(first.root, asked) as again:
        assert first.id
        assert first.request.buckets.viewer == f"gs://public/{first.id}"
        assert first.request.buckets.temporary == "gs://tmp/a"
        assert again.request == first.request
    with pytest.raises(UserError, match=r"^buckets\.viewer: {id} stands for the id of the run, .* --out, too$"):
        place_of("gs://bucket/fly", asked).__enter__()


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("run fly.yaml --out {place} --workers 2", "run fly.yaml --workers 2"),
        ("submit fly.yaml --source {place} --run={place} --unique", "submit fly.yaml --source '{place}'"),
    ],
)
@pytest.mark.parametrize("place", ["gs://bucket/{id}", "gs://bucket/a b/{id}/x"])
def test_a_person_is_told_how_to_go_on_with_the_run_that_was_made(
    typed: str, kept: str, place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["clio-argo", *(w.replace("{place}", place) for w in typed.split())])
    with pytest.raises(KeyboardInterrupt) as stopped, place_of(place, request("slices", id="Fly")) as made:
        raise KeyboardInterrupt
    assert made.id
    assert MADE.fullmatch(made.id)
    assert made.root == place.replace("{id}", made.id)
    first, then = capsys.readouterr().err.splitlines()
    assert first == f"new run: {made.root}"
    again = then.removeprefix("  go on with it by: ")
    assert again == f"clio-argo {kept.replace('{place}', place)} --out {shlex.quote(made.root)}"
    assert stopped.value.__notes__ == [f"the run is {made.root}; go on with it by: {again}"]


@pytest.mark.properties
def test_an_error_ends_with_the_way_to_go_on(stack: Path) -> None:
    nobody = {"TENSORSTORE_GCS_HTTP_URL": f"http://{CLOSED}", "STORAGE_EMULATOR_HOST": f"http://{CLOSED}"}
    typed = ("run", "--source", stack, "--set", "id=fly", "--out")
    told = cli(*typed, "gs://bucket/{id}", CLIO_STORE_TRIES="1", **nobody)
    assert told.returncode == 75, told.stderr
    again = told.stderr.splitlines()[-1].partition("; go on with it by: ")[2]
    assert re.fullmatch(rf"{TYPED} run --source \S+ --set id=fly --out gs://bucket/{MADE.pattern}", again)


def test_what_is_refused_has_made_nothing_to_go_on_with() -> None:
    with pytest.raises(UserError) as refused, place_of("gs://bucket/{id}", request("slices", id="fly")):
        raise UserError("no")
    assert not hasattr(refused.value, "__notes__")


@pytest.mark.parametrize(
    ("options", "named"),
    [(("--run", "gs://bucket/runs", "--unique"), True), (("--run", "gs://bucket/runs/{id}"), True),
     (("--run", "gs://bucket/runs/{id}", "--name", "mine"), False)],
)  # fmt: skip
def test_submit_makes_a_folder_and_a_workflow_of_one_id(options: tuple[str, ...], named: bool, tmp_path: Path) -> None:
    typed = ["submit", "--source", "/no/such", "--set", "id=fly", "--dry-run", "--settings", str(mounted(tmp_path))]
    told = CliRunner().invoke(app, [*typed, *options])
    made = yaml.safe_load(told.stdout)
    run = {p["name"]: p["value"] for p in made["spec"]["arguments"]["parameters"]}["run"]
    place, _, new = run.rpartition("/")
    assert (place, bool(MADE.fullmatch(new))) == ("gs://bucket/runs", True)
    assert made["metadata"]["name"] == (new if named else "mine")
    assert f"new run: {run}\n" in told.stderr


def mounted(folder: Path) -> Path:
    """Settings of a cluster whose pods see a folder that is not on this machine."""
    settings = folder / "settings.yaml"
    settings.write_text("volumes: [{name: slices, mountPath: /no, source: {emptyDir: {}}}]")
    return settings
