"""`init`: what is printed where, what is written and what is not, pictures in a terminal, and the way to a volume."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from clio_argo.cli.app import app
from clio_argo.cli.console import typed
from clio_argo.cli.look import look_view
from clio_argo.errors import ClioError
from clio_argo.model.parse_request import build_request, parse_text
from clio_argo.workspace.first_look import first_look
from tests.stacks import FIRST, cli, completion, demo_slices, write_stack

BLOCK = "▀"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "my slices", demo_slices(3, 64))


def told(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    result = CliRunner().invoke(app, ["init", *map(str, arguments)])
    if isinstance(result.exception, ClioError):
        return result.exception.exit_code, result.stdout, result.stderr + str(result.exception)
    return result.exit_code, result.stdout, result.stderr


def test_without_a_file_the_request_alone_is_printed_and_remarks_go_beside_it(source: Path) -> None:
    code, printed, beside = told(source, "--set", "resolution=4,4,30", "--set", "labels.lab=em")
    assert code == 0
    request = build_request(parse_text(printed, "x"))
    assert (request.id, request.source, request.image) == ("my-slices", str(source), "iso.%05d.png")
    assert (request.resolution, request.labels) == ((4, 4, 30), {"lab": "em"})
    assert "3 usable of 3: z 3490 to 3492" in beside
    assert beside.splitlines()[-1] == "Next: clio-argo init -o FILE.yaml writes this request to a file."
    assert BLOCK not in printed + beside


def test_a_file_is_written_and_never_replaced(source: Path) -> None:
    file = source.parent / "a request.yaml"
    code, printed, beside = told(source, "-o", file)
    assert (code, beside) == (0, "")
    assert f"\n{file}: written\nNext: open '{file}'; clio-argo plan '{file}' checks it, " in printed
    assert "\nimage  iso.%05d.png\n" in printed
    assert "\nresolution" not in printed
    assert printed.count("\nvoxel size  8 x 8 x 8 nm is assumed: ") == 1
    written = file.read_text()
    assert written == told(source)[1]
    code, printed, beside = told(source, "-o", file, "--set", "resolution=4")
    assert (code, printed) == (2, "")
    assert f"{file}: exists, and is never replaced" in beside
    assert file.read_text() == written


@pytest.mark.parametrize("place", ["nowhere/r.yaml", "my slices/iso.03490.png/r.yaml"])
def test_a_place_that_cannot_be_written_is_named(source: Path, place: str) -> None:
    code, _, beside = told(source, "-o", source.parent / place)
    assert code == 2
    assert f"{source.parent / place}: cannot be written: " in beside


def test_a_request_that_plan_refuses_is_written_and_the_reasons_are_said(source: Path) -> None:
    (source / f"iso.{FIRST + 1:05d}.png").unlink()
    code, _, beside = told(source, "-o", file := source.parent / "r.yaml")
    assert code == 1
    assert "1 of 3 slices is missing or unusable" in beside
    accept = f"clio-argo run {file} --out VOLUME --allow-bad-slices 1"
    assert beside.splitlines()[-1] == f"Next: repair the slices, or show others in their place: {accept}"
    accept = "clio-argo run FILE.yaml --out VOLUME --allow-bad-slices 1"
    assert told(source)[2].endswith(
        f" -o FILE.yaml writes this request to a file; repair the slices, or show others in their place: {accept}"
    )
    other = told(source, "--set", "crop.z=0,9")[2].splitlines()[-1]
    assert other.endswith("mend this, in the files or in FILE.yaml; clio-argo plan FILE.yaml checks it.")
    assert "max_bad: 0.01  # 1 of 3 slices is missing or unusable; 1 accepts that\n" in file.read_text()
    assert told(source, "--set", "max_bad=1")[0] == 0


def test_stacks_to_choose_from_are_told_and_nothing_is_written(source: Path) -> None:
    write_stack(source, demo_slices(2, 32), "other%d.png")
    code, _, beside = told(source, "-o", file := source.parent / "r.yaml")
    assert code == 2
    assert f"3 files, 3490 to 3492: clio-argo init '{source}' --image iso.%05d.png -o {file}\n" in beside
    assert not file.exists()
    assert "image: other%d.png\n" in told(source, "--image", "other%d.png")[1]


@pytest.mark.parametrize(
    ("terminal", "colours", "shown"),
    [(True, "truecolor", True), (True, "256", True), (True, "standard", False), (False, "truecolor", False)],
)
def test_three_slices_stand_side_by_side_where_a_terminal_has_greys(
    source: Path, terminal: bool, colours: str, shown: bool
) -> None:
    look = first_look({"id": "x", "source": str(source)}, 32)
    out = Console(file=io.StringIO(), force_terminal=terminal, color_system=colours, width=120)  # type: ignore[arg-type]
    for part in look_view(look, out):
        out.print(part)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert text.count(BLOCK) == (3 * 32 * 16 if shown else 0)
    if colours == "truecolor" and shown:
        image = look.glimpses[0].image
        assert image is not None
        upper, lower = np.repeat(image[:2, :1], 3, axis=1).tolist()
        assert f"\x1b[38;2;{';'.join(map(str, upper))};48;2;{';'.join(map(str, lower))}m{BLOCK}" in text


def test_a_command_is_said_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["clio-argo", "align", "a b.yaml", "--out", "align", "--set", "crop.x=0,9"])
    assert typed("align", "run") == "clio-argo run 'a b.yaml' --out align --set crop.x=0,9"
    assert typed("align") == "clio-argo align 'a b.yaml' --out align --set crop.x=0,9"
    assert typed("init") == "clio-argo init"


@pytest.mark.properties
def test_from_files_to_a_volume_by_what_is_printed(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.parent)
    assert cli("init", "my slices", "-o", "request.yaml").returncode == 0
    assert cli("plan", "request.yaml").returncode == 0
    done = cli("run", "request.yaml", "--out", "volume", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert completion(source.parent / "volume").slices == 3


def test_commands_that_choose_keep_the_options_that_were_given(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_stack(tmp_path, demo_slices(2, 64), f"{name}.%03d.png")
    code, _, beside = told(tmp_path, "--set", "resolution=4", "-o", "my fly.yaml")
    offers = [line for line in beside.splitlines() if "clio-argo init" in line]
    assert code == 2
    assert len(offers) == 3
    assert all(line.endswith(" --set resolution=4 -o 'my fly.yaml'") for line in offers)
