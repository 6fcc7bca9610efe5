"""What a run says of other places is not followed by verify, repair and clean before a person confirms it."""

import json
from pathlib import Path

import pytest

from clio_argo.errors import UserError
from clio_argo.maintenance.clean import clean
from clio_argo.maintenance.places import trusted_run
from clio_argo.maintenance.repair import repair
from clio_argo.maintenance.verify import verify
from tests.stacks import cli, contents, demo_slices, plain, run_here, write_stack

COMMANDS = {"verify": verify, "repair": repair, "clean": clean}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return run_here(plain(write_stack(tmp_path / "source", demo_slices(2, 64))), tmp_path / "out")


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    file = tmp_path / "elsewhere" / "ng" / "precious"
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    return file


def forge(out: Path, name: str, precious: Path) -> None:
    document = json.loads((out / name).read_text())
    request = document.get("settings", document)
    request["buckets"] = {**request["buckets"], "viewer": precious.parent.as_uri()}
    (out / name).write_text(json.dumps(document))


@pytest.mark.parametrize("command", COMMANDS)
def test_folders_elsewhere_are_named(out: Path, precious: Path, command: str) -> None:
    forge(out, "config.json", precious)
    with pytest.raises(UserError, match=r"(?s)leads to other places.*--trust-places.*ng/ lies in file://\S+/ng/"):
        COMMANDS[command](out)
    assert precious.read_text() == "mine"
    assert trusted_run(out, trust_places=True).at("ng")[0].url == f"{precious.parent.as_uri()}/"


def test_those_of_the_last_document_are_named_where_it_would_restore_the_request(out: Path, precious: Path) -> None:
    forge(out, "complete.json", precious)
    (out / "config.json").write_bytes(b"{")
    with pytest.raises(UserError, match=r"ng/ lies in"):
        repair(out)


@pytest.mark.parametrize("command", COMMANDS)
def test_links_out_of_the_root_are_named(out: Path, precious: Path, command: str) -> None:
    (out / "tmp" / "reduced").mkdir(exist_ok=True)
    (out / "tmp" / "reduced" / "deep").symlink_to(precious.parent)
    before = contents(out)
    with pytest.raises(UserError, match=r"tmp/reduced/deep is a link to \S+elsewhere/ng"):
        COMMANDS[command](out)
    assert (precious.read_text(), contents(out)) == ("mine", before)


def test_a_link_in_the_place_of_an_object_is_replaced_and_not_followed(out: Path, precious: Path) -> None:
    info = (out / "ng" / "info").read_bytes()
    (out / "ng" / "info").unlink()
    (out / "ng" / "info").symlink_to(precious)
    assert repair(out).left.faults == ()
    assert (precious.read_text(), (out / "ng" / "info").read_bytes()) == ("mine", info)
    assert not (out / "ng" / "info").is_symlink()


@pytest.mark.properties
def test_a_person_sees_where_slices_would_be_read(out: Path) -> None:
    told = cli("repair", out, "--workers", 1)
    assert f"slices that are needed are read from {out.parent}/source" in told.stderr
    assert told.returncode == 0
