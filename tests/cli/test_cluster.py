"""Commands for a cluster where there is none: exit codes, messages, and what is loaded. The rest is in tests/e2e."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clio_argo.argo import ClusterSettings, workflow_template
from clio_argo.clusters import check_artifacts, check_source, overridden
from clio_argo.errors import GateStopped, UserError
from clio_argo.model.parse_request import build_request
from clio_argo.model.request import Request
from tests.stacks import FIRST, cli, demo_slices, write_stack
from tests.stores import Bucket

NOBODY = {"ARGO_SERVER": "127.0.0.1:1", "ARGO_TOKEN": ""}


@pytest.mark.properties
@pytest.mark.parametrize("command", [["list"], ["logs", "wa"], ["approve", "wa"]])
def test_no_cluster_is_a_wrong_configuration(command: list[str], tmp_path: Path) -> None:
    told = cli(*command, KUBECONFIG=str(tmp_path / "none"), ARGO_SERVER="")
    assert told.returncode == 2
    assert told.stderr.startswith("error: no cluster: ")
    assert "Traceback" not in told.stderr


def test_a_cluster_that_does_not_answer_may_be_tried_again() -> None:
    told = cli("list", "-n", "em", **NOBODY)
    assert told.returncode == 75
    assert told.stderr == (
        "error: namespace em of Argo Server https://127.0.0.1:1: does not answer: [Errno 111] Connection refused\n"
    )


@pytest.mark.parametrize("command", ["list", "get wa", "submit --source gs://bucket/s --run gs://bucket/r"])
def test_commands_load_neither_images_nor_what_emits_templates(command: str) -> None:
    heavy = {"cv2", "tensorstore", "numpy", "hera", "kubernetes"}
    code = (
        "import json, os, sys\nfrom clio_argo.cli import main\n"
        f"os.environ.update({NOBODY})\nsys.argv = ['clio-argo', *{command.split()}]\n"
        f"try:\n    main()\nexcept SystemExit:\n    print(json.dumps(sorted({heavy} & sys.modules.keys())))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == []


def test_artifacts_without_a_bucket_are_refused_before_a_pod_fails_to_write_them(gcs: Bucket) -> None:
    made = [
        dict(workflow_template(cluster=ClusterSettings(artifacts={"bucket": name})).to_dict())
        for name in (gcs.url.removeprefix("gs://"), "no-such-bucket", None)
    ]
    check_artifacts(made[0])
    check_artifacts(made[2])
    with pytest.raises(UserError, match=r"there is no bucket gs://no-such-bucket(.|\n)*its setting artifacts.bucket"):
        check_artifacts(made[1])


def test_a_source_that_cannot_be_seen_from_here_is_left_to_the_cluster() -> None:
    said = list[str]()
    check_source(Request(id="fly", source="/mounted/in/pods/only"), said.append)
    assert "not checked from here: /mounted/in/pods/only is not on this machine" in said[0]


@pytest.mark.properties
def test_a_bucket_that_does_not_answer_is_named_at_once_and_left_to_the_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "TENSORSTORE_GCS_HTTP_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("CLIO_STORE_TRIES", raising=False)
    began = time.monotonic()
    said = list[str]()
    check_source(Request(id="fly", source="gs://bucket/slices"), said.append)
    assert time.monotonic() - began < 15
    left = said[0]
    # which of its objects is asked for first is of no matter
    assert re.match(r"the source is not checked from here: gs://bucket/slices/\S*: the store does not answer", left)


def test_a_source_that_can_be_seen_is_checked_before_anything_is_created(tmp_path: Path) -> None:
    write_stack(tmp_path, {z: image for z, image in demo_slices(3, 64).items() if z != FIRST + 1})
    with pytest.raises(GateStopped, match=f"z {FIRST + 1}: missing"):
        check_source(Request(id="fly", source=str(tmp_path)))


def test_what_is_given_beside_the_slices_is_checked_as_well(tmp_path: Path) -> None:
    write_stack(tmp_path / "stack", demo_slices(3, 64))
    (tmp_path / "wrong.yaml").write_text("slices: [{z: 7, verdict: bad, reason: torn}]")
    with pytest.raises(UserError, match="7"):
        check_source(Request(id="fly", source=str(tmp_path / "stack"), overrides=str(tmp_path / "wrong.yaml")))


def test_arguments_override_the_request_by_old_and_new_names_and_empty_ones_do_not() -> None:
    asked = Request(id="fly", source="gs://bucket/s", minz=3)
    given = {"minz": "5", "maxz": "", "skip_align": "true", "approval": "ask"}
    assert overridden(asked, given) == build_request(asked.model_dump(), {"minz": 5, "alignment.skip": True})
    with pytest.raises(UserError, match="minz"):
        overridden(asked, {"minz": "many"})


@pytest.mark.parametrize("text", ["a", "=b"])
def test_pairs_are_pairs(text: str) -> None:
    told = cli("submit", "--source", "gs://bucket/s", "--run", "gs://bucket/r", "-l", text, **NOBODY)
    assert (told.returncode, f"-l {text}: expected NAME=VALUE" in told.stderr) == (2, True)


def test_labels_that_cannot_be_given_are_told_at_once() -> None:
    labels = [f"-l{text}" for text in ("grant=a b", "app.kubernetes.io/name=mine", "grant", "lab=em")]
    told = cli("submit", "--source", "gs://bucket/s", "--run", "gs://bucket/r", *labels, **NOBODY)
    assert (told.returncode, told.stderr.count("\n  - ")) == (2, 3)
    assert "use another one" in told.stderr
