"""A new setting is one field of the request, and the step that declares and reads it; nothing else changes."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import clio_argo
from clio_argo.model.parse_request import field_paths
from tests.stacks import demo_slices, lossless, write_stack

PACKAGE = Path(clio_argo.__file__).parent
SLICES, BRIGHTER = 4, 7
FIELD = (
    "model/appearance.py",
    '    invert: bool = False\n    """Swap black and white, since',
    '    brightness: int = Field(0, ge=0, le=50)\n    """Grey levels added to all pixels. Default 0:\n'
    '    grey values stay."""\n\n    invert: bool = False\n    """Swap black and white, since',
)
DECLARATION = ("pipeline.py", '"contrast.invert",', '"contrast.invert", "contrast.brightness",')
USE = (
    "steps/render.py",
    "adjusted = adjust(pixels,",
    "adjusted = adjust(pixels + np.uint8(run.settings.contrast.brightness),",
)


def edited(folder: Path, *edits: tuple[str, str, str]) -> Path:
    """A copy of the package in which one text of each of some files is another."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, before, after in edits:
        file = folder / PACKAGE.name / name
        assert file.read_text().count(before) == 1, name
        file.write_text(file.read_text().replace(before, after))
    return folder


def call(package: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """The command line of a copy of the package."""
    command = [sys.executable, "-c", "from clio_argo.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(package), "COLUMNS": "500"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=environment, cwd=package
    )


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return edited(tmp_path_factory.mktemp("package"), FIELD, DECLARATION, USE)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dark = {z: np.minimum(image, 200).astype(np.uint8) for z, image in demo_slices(SLICES, 64).items()}
    return write_stack(tmp_path_factory.mktemp("slices"), dark)


def run_arguments(source: Path, out: Path) -> list[object]:
    plain = ("id=test", "alignment.skip=true", "contrast.clip_limit=0")
    settings = [argument for setting in plain for argument in ("--set", setting)]
    return ["run", "--source", source, "--resolution", 10, "--workers", 1, "--out", out, *settings]


def test_the_schema_documents_it(package: Path) -> None:
    schema = json.loads(call(package, "schema").stdout)
    brightness = schema["$defs"]["Contrast"]["properties"]["brightness"]
    assert brightness["description"] == "Grey levels added to all pixels. Default 0: grey values stay."
    assert (brightness["default"], brightness["maximum"]) == (0, 50)


def test_a_value_out_of_range_is_refused_by_name(package: Path, source: Path, tmp_path: Path) -> None:
    refused = call(package, *run_arguments(source, tmp_path / "out"), "--set", "contrast.brightness=51")
    assert refused.returncode == 2
    assert "contrast.brightness: Input should be less than or equal to 50 (got 51)" in refused.stderr


@pytest.mark.properties
def test_it_is_set_compared_updated_and_reaches_the_voxels(package: Path, source: Path, tmp_path: Path) -> None:
    arguments, brighter = run_arguments(source, tmp_path / "out"), ("--set", f"contrast.brightness={BRIGHTER}")
    first = call(package, *arguments)
    assert first.returncode == 0, first.stderr
    voxels, manifest = lossless(tmp_path / "out"), tmp_path / "out" / "manifest"
    reduced = (manifest / "reduce" / "000000.json").stat().st_mtime_ns
    refused = call(package, *arguments, *brighter)
    assert refused.returncode == 2
    assert f"contrast.brightness: 0 -> {BRIGHTER}" in refused.stderr
    updated = call(package, *arguments, *brighter, "--update")
    assert updated.returncode == 0, updated.stderr
    assert (lossless(tmp_path / "out") == voxels + BRIGHTER).all()
    # only what depends on it is rerun
    assert (manifest / "reduce" / "000000.json").stat().st_mtime_ns == reduced


@pytest.mark.properties
def test_a_setting_that_is_read_but_not_declared_is_refused(source: Path, tmp_path: Path) -> None:
    package = edited(tmp_path / "package", FIELD, USE)
    refused = call(package, *run_arguments(source, tmp_path / "out"))
    assert refused.returncode == 1
    assert "the step reads the setting 'brightness' without declaring it" in refused.stderr


# The request itself; what steps declare; names of the predecessor; the choice of a form; flags of the command line;
# and what a trial of three slices leaves out.
LISTS = {
    "model/request.py", "pipeline.py", "model/parse_request.py", "argo/parameters.py", "cli/options.py", "sampling.py"
}  # fmt: skip
FEWEST = 3


def collections(tree: ast.AST) -> Iterator[tuple[ast.AST, list[ast.expr | None]]]:
    """Literal collections of a module, with their elements or keys."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            yield node, [*node.elts]
        elif isinstance(node, ast.Dict):
            yield node, node.keys


def test_no_other_list_of_settings_exists() -> None:
    settings = {name for path in field_paths() for name in (path, path.partition(".")[0])} - {"schema_version"}
    lists = [
        f"{file.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}: {sorted(names)}"
        for file in sorted(PACKAGE.rglob("*.py"))
        if file.relative_to(PACKAGE).as_posix() not in LISTS
        for node, elements in collections(ast.parse(file.read_text()))
        if len(names := {e.value for e in elements if isinstance(e, ast.Constant)} & settings) >= FEWEST
    ]
    assert lists == []
