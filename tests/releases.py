"""What makes a release, for tests: its scripts, which are no package, and repositories for it to be made from."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
# where `make release` has what builds packages
TOOLS = Path(sys.prefix) / "release" / "bin"


def script(name: str) -> ModuleType:
    """A module of .ci, which is no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / ".ci")
        return importlib.import_module(name)


release, registries = script("release"), script("registry")
VERSION = release.project_version()


def git(folder: Path, *arguments: str) -> None:
    author = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


def clone(folder: Path, *names: str) -> Path:
    """A clean repository with the files of this one, those that are not committed yet included; `names`: only these."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *names]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in (n for n in files if n and (ROOT / n).is_file()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "all")
    return folder
