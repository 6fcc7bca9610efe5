"""`register`: which run, store, dataset and token it takes, what it prints, and what it never prints."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from clio_argo.cli.app import app
from clio_argo.cli.register import warn_of_token
from clio_argo.errors import ClioError, UserError
from tests.clio_store import ADMIN, State, clio_store
from tests.stacks import cli, request

OLD = {"description": "old"}


@pytest.fixture
def run(aligned: Path, tmp_path: Path) -> Path:
    """The documents of a run whose volume lies in a bucket."""
    for name in ("config.json", "volume.json"):
        shutil.copy(aligned / name, tmp_path)
    done = json.loads((aligned / "complete.json").read_text())
    (tmp_path / "complete.json").write_text(json.dumps({**done, "ng": "gs://bucket/run/ng"}))
    return tmp_path


def called(*arguments: object, token: str | None = ADMIN) -> Result:
    return CliRunner(env={"CLIO_STORE_TOKEN": token}).invoke(app, ["register", *map(str, arguments)])


def refused(*arguments: object, token: str | None = ADMIN) -> str:
    error = called(*arguments, token=token).exception
    assert isinstance(error, ClioError)
    return str(error)


def change(file: Path, **fields: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_a_run_is_registered_under_its_id(run: Path) -> None:
    with clio_store(test=OLD) as state:
        told = called(run, "--store", state.url)
        assert told.stdout.startswith(f"dataset test in {state.url}/v2: title, public, mainLayer, ")
        assert state.datasets["test"]["location"] == "gs://bucket/run/ng"
        assert state.datasets["test"]["public"] is False
        record = json.loads(called("--run", run, "--store", state.url, "--public", "-o", "json").stdout)
        assert record == state.datasets["test"]
        assert record["public"] is True


def test_store_and_dataset_are_those_of_the_request_unless_they_are_given(run: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{ADMIN}\n")
    with clio_store(fly=OLD, bee=OLD) as state, clio_store(bee=OLD) as other:
        change(run / "config.json", register={"store": state.url, "dataset": "fly"})
        called(run, "--token-file", tmp_path / "token", token=None)
        called(run, "--dataset", "bee")
        called(run, "--dataset", "bee", "--store", other.url)
        assert all("location" in d for s in (state, other) for d in s.datasets.values())


def test_a_dry_run_prints_the_record_and_writes_nothing(run: Path) -> None:
    with clio_store(test=OLD) as state:
        told = called(run, "--store", state.url, "--dry-run")
        assert state.datasets == {"test": OLD}
    assert json.loads(told.stdout)["mainLayer"] == "test"
    assert told.stderr.endswith("changed; nothing was written\n")


def test_flags_of_a_run_are_said(run: Path) -> None:
    change(run / "complete.json", status="complete_with_flags", flagged=[3, 4], suspect=[5])
    with clio_store(test=OLD) as state:
        told = called(run, "--store", state.url)
    assert told.stderr == "note: the run is complete_with_flags: 2 flagged, 1 suspect\n"


def test_what_became_of_it_is_shown(run: Path) -> None:
    change(run / "complete.json", registered="dataset fly in https://clio.example.org/v2")
    shown = CliRunner().invoke(app, ["show", str(run)]).stdout
    assert re.search("^registered +dataset fly in https://clio.example.org/v2$", shown, re.MULTILINE)


def test_a_run_without_a_token_is_warned_before_it_begins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = request("slices", register__store="https://clio.example.org")
    warn_of_token(config)
    assert (
        capsys.readouterr().err == "warning: CLIO_STORE_TOKEN is not set, so that the volume will not be registered\n"
    )
    monkeypatch.setenv("CLIO_STORE_TOKEN", ADMIN)
    warn_of_token(config)
    warn_of_token(request("slices"))
    assert capsys.readouterr().err == ""


def test_what_cannot_be_registered_is_refused(run: Path, aligned: Path, tmp_path: Path) -> None:
    url = "https://clio.example.org"
    assert "lies on this machine" in refused(aligned, "--store", url)
    assert "give --store URL" in refused(run)
    assert "no token: set CLIO_STORE_TOKEN" in refused(run, "--store", url, token=None)
    assert "cannot be read: No such file" in refused(run, "--store", url, "--token-file", tmp_path / "none")
    assert "would send the token unencrypted" in refused(run, "--store", "http://clio.example.org")
    (run / "complete.json").unlink()
    assert "only complete runs are registered" in refused(run, "--store", url)


def test_rights_that_are_missing_end_with_1(run: Path) -> None:
    with clio_store(test=OLD) as state:
        error = called(run, "--store", state.url, token="rejected").exception
    assert isinstance(error, ClioError)
    assert (error.exit_code, isinstance(error, UserError)) == (1, False)


@pytest.mark.properties
def test_no_output_holds_the_token(run: Path) -> None:
    with clio_store(test=OLD) as state:
        state.says = (418, {}, f'{{"detail": "no {ADMIN}"}}')
        told = cli("register", run, "--store", state.url, "-o", "json", CLIO_STORE_TOKEN=ADMIN)
        assert asked_with(state) == {ADMIN}
        state.asked.clear()
        assert ADMIN not in refused(run, "--store", state.url, token=f"{ADMIN}\nx")
        assert asked_with(state) == set()
    assert (told.returncode, told.stdout) == (1, "")
    assert ADMIN not in told.stderr
    assert "Traceback" not in told.stderr


def asked_with(state: State) -> set[str]:
    return {token for _, _, token in state.asked}
