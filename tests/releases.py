"""What makes a release, for tests: its scripts, which are no package, and repositories for it to be made from."""

import importlib
import re
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


release, registries, logins, origin = (script(name) for name in ("release", "registry", "logins", "origin"))
VERSION = release.project_version()


def git(folder: Path, *arguments: str) -> None:
    author = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


def clone(folder: Path, *names: str) -> Path:
    """A clean repository that may be released, with the files of this one, those not committed yet included.

    names: only these files and folders.
    """
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *names]
    files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in (n for n in files if n and (ROOT / n).is_file()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    changes = folder / "CHANGELOG.md"
    changes.write_text(re.sub(r"(?ms)^## \[Unreleased\]\n.*?(?=^## \[)", "## [Unreleased]\n\n", changes.read_text()))
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "all")
