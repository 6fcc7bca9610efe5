"""Commands for a cluster where there is none: exit codes, messages, and what is loaded. The rest is in tests/e2e."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stacks import cli

NOBODY = {"ARGO_SERVER": "127.0.0.1:1", "ARGO_TOKEN": ""}


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


@pytest.mark.parametrize("command", ["list", "get wa", "submit --source gs://b/s --run gs://b/r"])
def test_commands_load_neither_images_nor_what_emits_templates(command: str) -> None:
    heavy = {"cv2", "tensorstore", "numpy", "hera", "kubernetes"}
    code = (
        "import json, os, sys\nfrom clio_argo.cli import main\n"
        f"os.environ.update({NOBODY})\nsys.argv = ['clio-argo', *{command.split()}]\n"
        f"try:\n    main()\nexcept SystemExit:\n    print(json.dumps(sorted({heavy} & sys.modules.keys())))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == []
