"""The container images: what their steps import is what their lock files install."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from clio_argo.pipeline import PIPELINE
from clio_argo.runner import WORKER_ENVIRONMENT

ROOT = Path(__file__).parents[1]
IMPORTED = """
import importlib, json, sys
for name in sys.argv[1:]: importlib.import_module(name)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names)))
"""


@pytest.mark.properties
@pytest.mark.parametrize("image", ["align", "write"])
def test_an_image_holds_what_its_steps_import(image: str) -> None:
    entries = [s.entry.partition(":")[0] for s in PIPELINE.steps if s.image == image]
    command = [sys.executable, "-c", IMPORTED, "clio_argo.container", *entries]
    modules = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    owners = packages_distributions()
    needed = {owners[m][0].lower().replace("_", "-") for m in modules if m in owners} - {"setuptools", "clio-argo"}
    assert needed
    assert needed <= _locked(image)


def _locked(image: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "images" / f"{image}.lock").read_text(), re.MULTILINE))


def test_images_lock_what_was_tested() -> None:
    pins = set(re.findall(r"^\S+==\S+", (ROOT / "requirements-dev.lock").read_text(), re.MULTILINE))
    for lock in sorted((ROOT / "images").glob("*.lock")):
        assert set(re.findall(r"^\S+==\S+", lock.read_text(), re.MULTILINE)) <= pins, lock.name


def test_images_set_the_environment_of_local_workers() -> None:
    dockerfile = (ROOT / "images" / "Dockerfile").read_text()
    values = dict(re.findall(r"(\w+)=(\S+)", dockerfile))
    assert {name: values.get(name) for name in WORKER_ENVIRONMENT} == WORKER_ENVIRONMENT


@pytest.mark.properties
@pytest.mark.parametrize("image", ["align", "write"])
def test_the_bill_of_materials_names_what_is_installed(image: str, tmp_path: Path) -> None:
    lock, bill = ROOT / "images" / f"{image}.lock", tmp_path / "sbom.json"
    command = [Path(sys.executable).with_name("cyclonedx-py"), "requirements", lock, "--output-file", bill]
    subprocess.run([*command, "--pyproject", ROOT / "pyproject.toml"], check=True)
    found = {f"{c['name']}=={c['version']}" for c in json.loads(bill.read_text())["components"]}
    assert found == set(re.findall(r"^\S+==\S+", lock.read_text(), re.MULTILINE))
