"""Kinds of stores: each is one value, another package adds one, and importing them has no effect."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clio_argo.errors import StoreError, UserError
from clio_argo.maintenance.verify import verify
from clio_argo.runner import run
from clio_argo.store.backends import BACKENDS, find_backend
from clio_argo.store.backends.file import FILE
from clio_argo.store.documents import Store
from clio_argo.store.faults import explained
from tests.stacks import contents, demo_slices, plain, run_here, write_stack

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = "[clio_argo.stores]\ntoy = tests.store.toy:TOY\n"
IMPORT_ALL = """
import importlib, os, pkgutil, sys

variables, touched = type(os.environ), []

def watch(method):
    original = getattr(variables, method)

    def watched(self, name, *value):
        frame = sys._getframe(1)
        while frame.f_code.co_filename.startswith("<frozen"):
            frame = frame.f_back
        touched.append(f"{frame.f_code.co_filename} {method} {name}")
        return original(self, name, *value)

    setattr(variables, method, watched)

for method in ("__getitem__", "__setitem__", "__delitem__"):
    watch(method)
import clio_argo

for module in pkgutil.walk_packages(clio_argo.__path__, "clio_argo."):
    importlib.import_module(module.name)
folder = os.path.dirname(clio_argo.__file__)
print(len(sys.modules), [line for line in touched if line.startswith(folder)])
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where objects of toy:// lie; the store is installed as pip installs a package."""
    installed = tmp_path / "site" / "toy_store-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-store\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(installed.parent)
    monkeypatch.setenv("TOY_ROOT", str(tmp_path / "toy"))
    find_backend.cache_clear()
    return tmp_path / "toy"


@pytest.mark.properties
def test_importing_neither_reads_nor_changes_the_environment() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=False)
    assert re.fullmatch(r"\d+ \[\]\n", done.stdout), done.stdout + done.stderr


def test_a_store_sets_its_variables_when_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS"
    monkeypatch.setenv(name, "")
    monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    Store("/tmp").spec()
    assert name not in os.environ
    Store("s3://bucket").spec()
    assert os.environ[name] == "30"
    monkeypatch.setenv(name, "7")
    Store("s3://bucket").spec()
    assert os.environ[name] == "7", "what a person has set stays"


@pytest.mark.properties
def test_a_run_lies_in_a_store_of_another_package(toy: Path, tmp_path: Path) -> None:
    slices = demo_slices(3, 96)
    local, remote = write_stack(tmp_path / "slices", slices), write_stack(toy / "data" / "slices", slices)
    assert remote.is_dir()
    # its workers are processes of their own, which find the store by themselves
    assert run(plain("toy://data/slices"), "toy://runs/fly", 2).slices == 3
    assert contents("toy://runs/fly") == contents(run_here(plain(local), tmp_path / "run"))
    assert not verify("toy://runs/fly").faults
    assert (toy / "runs" / "fly" / "complete.json").is_file()


def test_errors_of_a_store_have_words_without_its_own(toy: Path) -> None:
    error = explained("toy://bucket/", "a", ValueError("http_response_code='403'"), "write")
    assert isinstance(error, StoreError)
    assert "no permission to write (403): the right to write is missing; grant it" in str(error)
    store = Store("toy://bucket/folder")
    assert store.web_address("a") is store.location() is None


def test_a_store_that_nobody_installed_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(UserError, match="unknown kind of store 'none'; use a path or one of file://, gs://, s3://"):
        Store("none://bucket")


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "no"])
def test_folders_are_listed_as_buckets_are(prefix: str, flat: bool, tmp_path: Path) -> None:
    names = ["a.json", "a/b", "a/b.c", "a/d/c", "a0", "ü"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12")
    expected = [n for n in names if n.startswith(prefix) and not (flat and "/" in n[len(prefix) :])]
    root = f"{tmp_path}/"
    assert [o.name.removeprefix(root) for o in FILE.objects("", root + prefix, flat)] == expected
    assert [o.name for o in Store(str(tmp_path)).objects(prefix, flat)] == expected


def test_no_module_but_its_own_names_a_kind_of_store() -> None:
    """A new kind of store is one module and one line: nobody compares schemes."""
    compared = re.compile(r"""scheme\s*(==|!=|in)\s*[("'].*(gs|s3)""")
    files = [f for f in (ROOT / "clio_argo").rglob("*.py") if f.parent.name != "backends"]
    assert not [str(f) for f in files if compared.search(f.read_text())]
    assert list(BACKENDS) == ["file", "gs", "s3"]


def test_every_variable_is_documented() -> None:
    table = (ROOT / "docs" / "reference" / "environment.md").read_text()
    code = "".join(f.read_text() for f in (ROOT / "clio_argo").rglob("*.py"))
    names = set(re.findall(r"\b(?:CLIO|TENSORSTORE|AWS|GOOGLE|GCE|STORAGE)_[A-Z0-9_]*[A-Z0-9]\b", code))
    assert not {n for n in names if f"`{n}" not in table}
