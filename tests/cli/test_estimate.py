"""`clio-argo estimate`: what it tells of a stack before anything is made, and what it refuses."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from clio_argo.cli.app import app
from clio_argo.model.prices import Prices
from tests.stacks import DEMO, cli, demo_slices, request, run_here, write_stack

QUICK = ("--allow-bad-slices", "1", "--quick")
MANY = ("--set", "single_pod_minutes=0", "--set", "part_minutes=0.001")


def told(*options: object, source: Path = DEMO) -> dict[str, Any]:
    """What the command prints as JSON, in this process: others start for a second."""
    shown = CliRunner().invoke(app, ["estimate", "--source", str(source), "-o", "json", *map(str, options)])
    assert shown.exit_code == 0, shown.output
    return dict(json.loads(shown.stdout))


def refused(*options: object) -> str:
    shown = CliRunner().invoke(app, ["estimate", *map(str, options)])
    assert shown.exit_code
    assert not shown.stdout
    assert shown.exception is not None
    return shown.stderr + str(shown.exception)


def test_it_tells_time_costs_sizes_and_every_stage() -> None:
    shown = CliRunner().invoke(app, ["estimate", "--source", str(DEMO), *QUICK]).stdout
    for line in (
        r"here +[\d.]+ s with \d+ workers?, CPU [\d.]+ s, up to 0\.8 GiB a worker; the largest stage is reduce",
        r"cluster +\d+ min on \d+ x n2d-standard-8, at most \d+ pods? at a time; 2 min of it until",
        r"compute +\$0\.\d+: 0\.\d+ vCPU hours, [\d.]+ vCPU hours of nodes that start, or are idle for 10 min",
        r"operations +\$0\.00: \d+ objects written, \d+ read",
        r"ng +[\d.]+ kB: \$0\.00 a month \(standard\), \$0\.00 a month \(coldline\)",
        r"aligned +[\d.]+ MB",
        r"rates +rates of .*nothing was decoded",
        r"prices +of \d{4}-\d\d-\d\d: Google",
        r"stage +CPU time +parts +memory +waves +on the cluster",
        r"all +[\d.]+ s +1 ",
    ):
        assert re.search(line, shown), line


def test_stages_of_a_larger_run_have_pods_of_their_own() -> None:
    shown = CliRunner().invoke(app, ["estimate", "--source", str(DEMO), *QUICK, "--set", "single_pod_minutes=0"]).stdout
    assert re.search(r"render +[\d.]+ s +1 ", shown)
    parts = {s["step"]: s["parts"] for s in told(*QUICK, "--set", "single_pod_minutes=0")["cluster"]["stages"]}
    assert parts == {"plan": 1, "reduce": 1, "frame": 1, "match": 1, "suspects": 1, "solve": 1, "render": 1,
                     "write": 1, "verify": 1, "publish": 1}  # fmt: skip
    assert {s["step"] for s in told(*QUICK)["cluster"]["stages"]} == {"plan", "all"}


@pytest.mark.properties
def test_three_slices_of_the_stack_tell_its_rates_and_nothing_is_written(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "stack", demo_slices(9))
    sampled, quick = told(source=source), told("--quick", source=source)
    assert (sampled["estimate"]["basis"], quick["estimate"]["basis"]) == ("sample", "headers")
    assert sampled["warning"] == ""
    assert sampled["estimate"]["sizes_bytes"] != quick["estimate"]["sizes_bytes"]
    assert [p.name for p in tmp_path.iterdir()] == ["stack"]


@pytest.mark.properties
@pytest.mark.parametrize("colours", [1, 3])
def test_sizes_of_both_volumes_are_within_a_tenth(tmp_path: Path, colours: int) -> None:
    grey = demo_slices(9, 256)
    channels = {z: [image, 255 - image, np.roll(image, 3, 0)][:colours] for z, image in grey.items()}
    source = write_stack(tmp_path / "source", {z: np.dstack(c) if colours > 1 else c[0] for z, c in channels.items()})
    out, sizes = run_here(request(source), tmp_path / "out"), told(source=source)["estimate"]["sizes_bytes"]
    for folder in ("ng", "aligned"):
        stored = sum(f.stat().st_size for f in (out / folder).rglob("*") if f.is_file())
        assert sizes[folder] == pytest.approx(stored, rel=0.1), folder


@pytest.mark.properties
def test_slices_that_do_not_decode_leave_the_rates_of_the_machine(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "stack", demo_slices(3))
    for file in source.iterdir():
        data = file.read_bytes()
        file.write_bytes(data[:1000] + bytes(2000) + data[3000:])
    found = told(source=source)
    assert found["warning"].startswith("iso.03490.png: ")
    assert found["estimate"]["basis"] == "sample"


def test_a_finished_run_tells_the_rates_and_sizes_of_its_stack(aligned: Path, stack: Path) -> None:
    found = told("--run", aligned, source=stack)
    assert found["estimate"]["basis"] == "run"
    for folder, size in found["estimate"]["sizes_bytes"].items():
        real = sum(f.stat().st_size for f in (aligned / folder).rglob("*") if f.is_file() and f.suffix != ".json")
        # the canvas is larger than the slices by what these move, a few of 192 pixels
        assert size == pytest.approx(real, rel=0.15)


def test_plan_tells_it_in_a_line() -> None:
    shown = CliRunner().invoke(app, ["plan", "--source", str(DEMO), "--allow-bad-slices", "1"]).stdout
    assert re.search(r"estimate +about [\d.]+ s here with \d+ workers?, or \d+ min and \$0\.\d+ on a cluster", shown)


def test_fewer_nodes_are_slower_and_spot_nodes_cheaper() -> None:
    usual, spot, one = (told(*QUICK, *MANY, *more) for more in ((), ("--spot",), ("--nodes", 1)))
    assert spot["cluster"]["compute"] < usual["cluster"]["compute"]
    assert one["cluster"]["wall_s"] > usual["cluster"]["wall_s"]
    assert (one["cluster"]["nodes"], spot["cluster"]["spot"]) == (1, True)


def test_a_file_brings_other_machines_and_prices(tmp_path: Path) -> None:
    known = json.loads(Prices.reference().to_bytes())
    known["machines"] = {"big": {"vcpus": 100, "memory_gib": 400, "on_demand": 1, "spot": 0.5}}
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(known))
    found = told(*QUICK, "--prices", file, "--machine", "big")
    assert (found["cluster"]["machine"], found["cluster"]["nodes"]) == ("big", 1)
    assert "prices.json: not a valid Prices document" in _damaged(file)
    file.unlink()
    assert "prices.json: cannot be read: No such file" in refused("--source", DEMO, "--prices", file)


def _damaged(file: Path) -> str:
    file.write_text('{"schema_version": 1}')
    return refused("--source", DEMO, "--prices", file)


def test_what_cannot_be_estimated_is_refused(tmp_path: Path) -> None:
    assert "machine z80: no price is known; there are n2d-standard-16" in refused("--source", DEMO, "--machine", "z80")
    assert "--nodes" in refused("--source", DEMO, "--nodes", 0)
    assert "there is no such file or folder" in refused("--source", tmp_path / "nothing", "--quick")
    assert "give --run or --quick, not both" in refused("--source", DEMO, "--run", tmp_path, "--quick")
    assert "complete.json does not exist: --run names a finished run" in refused(
        "--source", DEMO, "--allow-bad-slices", 1, "--run", tmp_path
    )


@pytest.mark.properties
def test_an_unreadable_source_is_refused_as_by_plan(tmp_path: Path) -> None:
    plan, estimate = (cli(name, "--source", tmp_path) for name in ("plan", "estimate"))
    assert (estimate.returncode, estimate.stderr) == (plan.returncode, plan.stderr)
    assert plan.returncode == 2


def test_a_part_of_the_canvas_takes_less_to_write_and_as_much_to_align() -> None:
    whole, part = (
        told(*QUICK)["estimate"],
        told(*QUICK, "--set", "crop.x=0,99", "--set", "crop.z=3500,3529")["estimate"],
    )
    for folder, size in part["sizes_bytes"].items():
        assert size == pytest.approx(whole["sizes_bytes"][folder] * 100 / 320 / 2, rel=0.1)
    took = {s["step"]: (s["cpu_s"], w["cpu_s"]) for s, w in zip(part["stages"], whole["stages"], strict=True)}
    assert took["reduce"][0] == took["reduce"][1]
    assert took["render"][0] == pytest.approx(took["render"][1] / 2)
    beyond = told(*QUICK, "--set", "crop.x=330,340")["estimate"]
    assert beyond["sizes_bytes"] == whole["sizes_bytes"]
