"""The command line as processes of its own: exit codes, what is printed where, and what is loaded."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from clio_argo.cli import main
from clio_argo.cli.console import literal
from clio_argo.cli.options import default_id
from clio_argo.cli.views import aligned_view, human_size
from clio_argo.errors import GateStopped
from clio_argo.model.alignment import Transforms
from clio_argo.store.documents import Store
from clio_argo.workspace.preflight import preflight
from tests.stacks import (
    CLI,
    FIRST,
    TYPED,
    cli,
    completion,
    demo_slices,
    flip_a_bit,
    plain,
    request,
    run_here,
    write_stack,
    written_at,
)

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "reference" / "request.schema.json"
ALIGNING = ["plan", "reduce", "frame", "match", "suspects", "rematch", "solve"]
STAGES = [*ALIGNING, "render", "write", "coarsen", "verify", "publish"]
FAST = ("--workers", 1, "--set", "alignment.skip=true")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "source", demo_slices(3, 64))


@pytest.fixture
def damaged(source: Path) -> Path:
    """A stack whose middle slice decodes to garbage."""
    flip_a_bit(source / f"iso.{FIRST + 1:05d}.png")
    return source


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> "tuple[subprocess.CompletedProcess[str], Path]":
    """A run of a request file, and where it went."""
    folder = tmp_path_factory.mktemp("finished")
    write_stack(folder / "slices", demo_slices(3))
    lines = ["id: my-fly", f"source: {folder / 'slices'}", "resolution: [8, 8, 16]"]
    (folder / "request.yaml").write_text("\n".join(lines))
    return cli("run", folder / "request.yaml", "--out", folder / "out", "--workers", 2), folder / "out"


# --- a run ----------------------------------------------------------------------------------------------


def test_run_ends_with_0_and_says_where_everything_is(
    finished: "tuple[subprocess.CompletedProcess[str], Path]",
) -> None:
    told, out = finished
    assert told.returncode == 0
    assert (out / "report.html").is_file()
    for line in (f"report  {out}/report.html", f"viewer  {TYPED} view {out}/"):
        assert line.replace(" ", "") in told.stdout.replace("\n", "").replace(" ", "")
    assert told.stdout.splitlines()[-1].startswith("complete: 3 slices, 0 flagged")
    assert completion(out).id == "my-fly"


def test_run_is_quiet_where_nobody_looks(finished: "tuple[subprocess.CompletedProcess[str], Path]") -> None:
    told, _ = finished
    # the slices were written just before
    assert re.fullmatch(r"(the source may still be arriving: the newest slice arrived \d s ago .*\n)?", told.stderr)
    assert "\x1b" not in told.stdout
    assert "reduce" not in told.stdout


@pytest.mark.properties
def test_same_command_again_ends_the_same_and_strict_does_not_mind_a_sound_stack(source: Path, tmp_path: Path) -> None:
    command = ("run", "--source", source, "--out", tmp_path / "out", *FAST)
    first, second = cli(*command), cli(*command, "--strict")
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout == second.stdout


def test_align_writes_the_report_and_no_volume_and_run_goes_on_from_there(source: Path, tmp_path: Path) -> None:
    command = ("--source", source, "--out", tmp_path / "out", *FAST)
    told = cli("align", *command)
    assert told.returncode == 0, told.stderr
    aligned, _, goes_on = told.stdout.splitlines()[-1].partition("; next: ")
    assert (aligned, shlex.split(goes_on)) == ("aligned: 3 slices, 0 flagged", [TYPED, "run", *map(str, command)])
    assert (tmp_path / "out" / "report.html").is_file()
    assert not list((tmp_path / "out" / "aligned").rglob("c/*"))
    before = written_at(tmp_path / "out")
    assert subprocess.run(shlex.split(goes_on), check=False).returncode == 0
    assert before.items() <= written_at(tmp_path / "out").items()


@pytest.mark.properties
def test_log_json_is_one_object_a_line(source: Path, tmp_path: Path) -> None:
    told = cli("run", "--source", source, "--out", tmp_path / "out", "--log", "json", *FAST)
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert [e["step"] for e in events if e["event"] == "stage"] == STAGES
    assert events[-1]["event"] == "end"
    assert events[-1]["link"] == completion(tmp_path / "out").link
    assert all(e["time"] <= time.time() for e in events[:-1])


@pytest.mark.properties
def test_log_json_tells_of_a_failure(damaged: Path, tmp_path: Path) -> None:
    told = cli("run", "--source", damaged, "--out", tmp_path / "out", "--log", "json", *FAST)
    assert told.returncode == 1
    last = json.loads(told.stdout.splitlines()[-1])
    assert last["event"] == "failed"
    assert "iso.03491.png" in last["error"]


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        pytest.param((), 1, id="default"),
        pytest.param(("--allow-bad-slices", 1), 0, id="allowed", marks=pytest.mark.properties),
        pytest.param(("--allow-bad-slices", 1, "--strict"), 1, id="allowed but strict", marks=pytest.mark.properties),
    ],
)
def test_bad_slice_and_the_exit_code(damaged: Path, tmp_path: Path, flags: tuple[Any, ...], code: int) -> None:
    told = cli("run", "--source", damaged, "--out", tmp_path / "out", *FAST, *flags)
    assert told.returncode == code
    assert "Traceback" not in told.stderr
    assert (tmp_path / "out" / "complete.json").exists() == bool(flags)
    if flags:
        assert told.stdout.splitlines()[-1].startswith("complete_with_flags: 3 slices, 1 flagged")
        assert f"z {FIRST + 1}" in told.stdout
    else:
        assert "--allow-bad-slices 1" in told.stderr


@pytest.mark.properties
def test_set_wins_over_flags_and_flags_over_the_file(source: Path, tmp_path: Path) -> None:
    request = {"id": "file", "source": "gone", "resolution": 1, "contrast": {"clip_limit": 0.5}}
    (tmp_path / "request.json").write_text(json.dumps(request))
    told = cli(
        "run", tmp_path / "request.json", "--out", tmp_path / "out", "--source", source, *FAST,
        "--resolution", "4,4,8", "--minz", FIRST, "--maxz", FIRST + 1, "--image", "iso.%05d.png",
        "--set", "contrast.clip_limit=0", "--set", "id=set", "--set", "labels.lab=em",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["id"], config["source"], config["resolution"]) == ("set", str(source), [4, 4, 8])
    assert (config["minz"], config["maxz"], config["labels"]) == (FIRST, FIRST + 1, {"lab": "em"})
    assert config["contrast"] == {"clip_limit": 0, "invert": False, "channels": {}, "flicker": 0}


# --- what a person can do wrong -----------------------------------------------------------------------------

WRONG: dict[str, tuple[list[str], int, str]] = {
    "no command": ([], 2, "Usage"),
    "unknown command": (["alight"], 2, "No such command 'alight'"),
    "no output": (["run", "--source", "S"], 2, "--out"),
    "no source": (["run", "--out", "O"], 2, "give a request file or --source FOLDER"),
    "no such source": (["plan", "--source", "./nowhere"], 2, "no such file or folder"),
    "no such request": (["plan", "nowhere.yaml"], 2, "nowhere.yaml: cannot be read: No such file"),
    "request is a folder": (["plan", "S"], 2, "a folder, and no request; "),
    "request is a picture": (["plan", "S/iso.03490.png"], 2, "not a text file"),
    "request is prose": (["plan", "prose.txt"], 2, "expected a mapping of settings"),
    "request is broken": (["plan", "broken.yaml"], 2, "broken.yaml: not valid YAML or JSON"),
    "unknown setting": (["plan", "--source", "S", "--set", "cliplimit=0"], 2, "did you mean 'clip_limit'"),
    "setting without value": (["plan", "--source", "S", "--set", "contrast"], 2, "expected KEY=VALUE"),
    "setting out of range": (["plan", "--source", "S", "--set", "max_gap=-1"], 2, "max_gap:"),
    "resolution": (["plan", "--source", "S", "--resolution", "fine"], 2, "expected one number or x,y,z"),
    "range": (["plan", "--source", "S", "--minz", "9", "--maxz", "8"], 2, "minz (9) is above maxz (8)"),
    "workers": (["run", "--source", "S", "--out", "O", "--workers", "0"], 2, "--workers"),
    "log": (["run", "--source", "S", "--out", "O", "--log", "loud"], 2, "'loud' is not one of"),
    "store": (["run", "--source", "S", "--out", "ftp://host/x"], 2, "unknown kind of store 'ftp'"),
    "output is a file": (["run", "--source", "S", "--out", "prose.txt"], 2, "prose.txt is a file"),
    "output below a file": (["run", "--source", "S", "--out", "prose.txt/x"], 1, "prose.txt/x"),
    "view of no run": (["view", "S"], 2, "No viewer volume"),
    "view in another way": (["view", "S", "--layout", "flat"], 2, "--layout flat: use one of 4panel, 4panel-alt, xy"),
    "view of a run twice": (["view", "S", "S"], 2, "is given twice"),
    "missing slices": (["plan", "--source", "S", "--maxz", "3500"], 1, "z 3493 to 3500: missing"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_mistake_is_one_message_without_a_trace(
    source: Path, mistake: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, code, message = WRONG[mistake]
    folder = source.parent
    (folder / "prose.txt").write_text("Dear reader")
    (folder / "broken.yaml").write_text("id: [1, 2")
    (folder / "S").symlink_to(source)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["clio-argo", *arguments])
    # anything but SystemExit would be a trace
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr()
    assert end.value.code == code
    assert message in told.err + told.out
    assert not (folder / "O").exists()


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        (("good", "good"), "2 slices, 0 flagged"),
        (("good", "suspect"), "2 slices, 1 suspect (shown; to be looked at)"),
        (("bad", "suspect"), "2 slices, 1 flagged, 1 suspect (shown; to be looked at)"),
    ],
)
def test_the_last_line_of_a_run_with_suspects_does_not_say_that_none_is_flagged(
    aligned: Path, verdicts: tuple[str, str], told: str
) -> None:
    known = Store(str(aligned)).document(Transforms, "transforms.json")
    slices = tuple(s.model_copy(update={"verdict": v}) for s, v in zip(known.slices, verdicts, strict=False))
    last = [*aligned_view(known.model_copy(update={"slices": slices}), Store(str(aligned)))][-1]
    assert f"aligned: {told}; next: " in str(last)


def workers_of(process: int) -> list[psutil.Process]:
    children = psutil.Process(process).children()
    return [c for c in children if any("spawn_main" in a for a in c.cmdline())]


def start(source: Path, out: Path, until: Callable[[int], object]) -> "subprocess.Popen[str]":
    """A run with one worker, as far as `until` says, which is given its process."""
    command = [CLI, "run", "--source", str(source), "--out", str(out), "--workers", "1"]
    process = subprocess.Popen(command, start_new_session=True, text=True, stderr=subprocess.PIPE)
    while not until(process.pid):
        assert process.poll() is None, "it ended too early"
        time.sleep(0.005)
    return process


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A stack that takes a while."""
    return write_stack(tmp_path / "slow", demo_slices(14, 320))


@pytest.mark.properties
@pytest.mark.parametrize("when", ["workers start", "workers load libraries", "workers work"])
def test_ctrl_c_is_one_message_without_a_trace(slow: Path, tmp_path: Path, when: str) -> None:
    out = tmp_path / "out"
    until = (lambda _: list(out.glob("manifest/reduce/*"))) if when == "workers work" else workers_of
    process = start(slow, out, until)
    time.sleep(0.25 if when == "workers load libraries" else 0)
    assert all(never_sees_ctrl_c(worker.pid) for worker in workers_of(process.pid))
    # as a terminal sends it: to the command and all its workers
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.splitlines()[-1] == "stopped; the same command continues where it stopped"
    assert "Traceback" not in told


@pytest.mark.properties
def test_sigterm_names_the_run_that_was_made(slow: Path, tmp_path: Path) -> None:
    process = start(slow, tmp_path / "{id}", lambda _: list(tmp_path.glob("slow-*/manifest/reduce/*")))
    process.terminate()
    told = process.communicate(timeout=60)[1].splitlines()
    [made] = tmp_path.glob("slow-*")
    assert process.returncode == 143
    assert told[-1].startswith(f"stopped; the run is {made}; go on with it by: ")
    assert told[-1].endswith(f" run --source {slow} --workers 1 --out {made}")
    assert workers_of_nobody(process.pid)


def workers_of_nobody(process: int) -> bool:
    """Whether a process that has ended left none of its workers."""
    commands = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    return not any(f"parent_pid={process}," in command for command in commands)


def never_sees_ctrl_c(process: int) -> bool:
    """Whether SIGINT is blocked in a process, where the system tells."""
    status = Path(f"/proc/{process}/status")
    told = status.read_text().split() if status.exists() else ["SigBlk:", "ffff"]
    return bool(int(told[told.index("SigBlk:") + 1], 16) & 1 << signal.SIGINT - 1)


@pytest.mark.properties
def test_killed_worker_is_137_and_the_run_goes_on(slow: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(slow, out, lambda _: list(out.glob("manifest/reduce/*")))
    workers_of(process.pid)[0].kill()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 137
    assert "a worker process was killed" in told
    assert "Traceback" not in told
    assert not (out / "complete.json").exists()
    assert cli("run", "--source", slow, "--out", out).returncode == 0


# --- plan, schema, and what is loaded ---------------------------------------------------------------------


@pytest.mark.properties
def test_plan_shows_what_it_found_and_writes_nothing(source: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    told = cli("plan", "--source", source, COLUMNS="200")
    assert told.returncode == 0
    assert told.stderr == ""
    assert f"3 usable of 3: z {FIRST} to {FIRST + 2}" in told.stdout
    assert "64 x 64 pixels, 8 bit" in told.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_plan_sends_nobody_to_plan(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for z in range(3500, 3602):
        (source / f"iso.{z:05d}.png").touch()
    with pytest.raises(GateStopped, match=r"more; clio-argo plan shows all$"):
        preflight(request(source)).refuse()
    for more, code, end in (((), 1, "more; all are above\n"), (("--minz", "3500"), 2, "and 2 more\n")):
        monkeypatch.setattr(sys, "argv", ["clio-argo", "plan", "--source", str(source), *more])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        assert ended.value.code == code
        assert told.err.endswith(end)
        assert code == 2 or re.search(r"^3601 +iso.03601.png +zero-byte", told.out, re.MULTILINE)


def test_schema_is_the_committed_one() -> None:
    if not SCHEMA.exists():
        pytest.skip(f"{SCHEMA.relative_to(ROOT)} is not there; run `make schema`")
    assert cli("schema").stdout == SCHEMA.read_text()


def test_schema_knows_every_setting() -> None:
    properties = json.loads(cli("schema").stdout)["properties"]
    assert {"id", "source", "alignment", "contrast", "viewer"} <= properties.keys()
    assert all("description" in p or "$ref" in p for n, p in properties.items() if n != "schema_version")


HEAVY = {"cv2", "tensorstore", "hera", "kubernetes", "numpy", "scipy", "google.cloud", "tifffile"}
LIGHT = {
    "import": "import clio_argo",
    "help": "sys.argv = ['clio-argo', '--help']; main()",
    "schema": "sys.argv = ['clio-argo', 'schema']; main()",
    "help of submit": "sys.argv = ['clio-argo', 'submit', '--help']; main()",
    "help of run": "sys.argv = ['clio-argo', 'run', '--help']; main()",
}


@pytest.mark.parametrize("what", LIGHT)
def test_light_things_load_no_heavy_library(what: str) -> None:
    tell = f"import json, sys\nprint(json.dumps(sorted({HEAVY} & sys.modules.keys())), file=sys.stderr)"
    prelude = "" if what == "import" else "from clio_argo.cli import main"
    code = f"import sys\n{prelude}\ntry:\n    {LIGHT[what]}\nexcept SystemExit:\n    pass\n{tell}"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(told.stderr) == []


def test_public_names_of_the_package() -> None:
    import clio_argo

    assert all(getattr(clio_argo, name) for name in clio_argo.__all__)
    with pytest.raises(AttributeError, match="no attribute 'alight'"):
        clio_argo.alight  # noqa: B018


# --- small things that are printed ---------------------------------------------------------------------------


def test_default_id_comes_from_the_file_or_folder() -> None:
    names = {"My Stack (2).yaml": "My-Stack-2", "größe.json": "gr-e", "---.yaml": "volume", "a.b.yaml": "a.b"}
    assert {n: default_id(Path(n), None) for n in names} == names
    assert default_id(None, "data/fly 1/") == "fly-1"
    assert default_id(None, "gs://bucket/fly") == "fly"


def test_sizes_are_told_in_units_people_use() -> None:
    assert [human_size(v) for v in (999, 1000, 2.5e9, 4e15)] == ["999 bytes", "1.0 kB", "2.5 GB", "4000.0 TB"]


def test_foreign_text_cannot_command_the_terminal() -> None:
    assert literal("\x1b[2Ja\nb[bold]") == "?[2Ja?b\\[bold]"


@pytest.mark.properties
def test_view_says_that_a_run_has_not_ended(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(2, 64))
    run_here(plain(source, alignment__skip=True), tmp_path / "out", stop_before="publish")
    with subprocess.Popen([CLI, "view", tmp_path / "out", "--port", "0"], text=True, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert "the run has not ended; what it has not written yet is not shown" in process.stderr.readline()
        process.kill()
