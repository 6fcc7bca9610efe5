"""Small stacks after reports of people who do this job, each against the same stack without what disturbs it."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from subprocess import CompletedProcess, run
from typing import Any

import numpy as np
from numpy.typing import NDArray

import clio_argo
from benchmarks.figures import Figure
from benchmarks.measure import python, worker_environment
from benchmarks.sources import SHARED
from benchmarks.whole import COMMAND

CASES = SHARED.parent / "cases" / "cases.py"
ALIGNMENT = ("dirt", "data_bar", "jpeg_borders", "turned_slice", "padded_16_bit")
FILES = ("grey_palette", "orientation", "trailing_bytes", "no_photometric", "imagej_one_header", "two_channels")
MEASURES = {"pair error": "pairs", "places": "places"}
SEEDS, MOST = range(3, 8), 1.3
# what is below cannot be told from tissue that changes: 0.05 px, as in the benchmark of accuracy
LEAST_PX = 0.05
NO_ANCHOR = {"alignment.anchor": "false"}


def measure(work: Path, quick: bool) -> list[Figure]:
    """Medians over seeds of pair errors and places, and whether odd files are read as ordinary ones."""
    if not CASES.exists():
        return []
    seeds = SEEDS[:1] if quick else SEEDS
    figures = [
        f for name in ALIGNMENT for f in _against(name, _scores(work, name, seeds), _scores(work, name, seeds, True))
    ]
    alone = _scores(work, "weak_and_short", seeds, settings=NO_ANCHOR)
    figures += _against("weak_and_short", _scores(work, "weak_and_short", seeds), alone)
    return figures + [_as_its_control(work, name) for name in FILES]


def _against(name: str, found: Mapping[str, float], control: Mapping[str, float]) -> list[Figure]:
    return [
        Figure(f"{name}: {what}, median", found[key], "px", max(MOST * control[key], LEAST_PX),
               note=f"control {control[key]:.3f} px")
        for what, key in MEASURES.items()
    ]  # fmt: skip


def _scores(
    work: Path, name: str, seeds: range, control: bool = False, settings: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Median over seeds of the medians that the scorer prints, by what it calls them."""
    every = [
        _score(work / f"{name}-{seed}-{control}-{bool(settings)}", name, seed, control, settings or {})
        for seed in seeds
    ]
    return {key: float(np.median([e[key] for e in every])) for key in MEASURES.values()}


def _score(work: Path, name: str, seed: int, control: bool, settings: Mapping[str, str]) -> dict[str, float]:
    _make(work, name, control, seed)
    _run("align", work, {"max_bad": "2", **settings}).check_returncode()
    said = python(CASES, "score", work / "truth.json", work / "out" / "transforms.json")
    rmtree(work)
    return {key: float(median) for key, median in re.findall(r"(pairs|places) (\S+) / ", said)}


def _as_its_control(work: Path, name: str) -> Figure:
    """Whether a file is read as an ordinary one with the same pixels."""
    folders = {control: work / f"{name}-{control}" for control in (False, True)}
    for control, folder in folders.items():
        _make(folder, name, control)
    odd, plain = (_run("run", folder, {}) for folder in folders.values())
    same = not (odd.returncode or plain.returncode) and np.array_equal(
        *(_voxels(folder / "out") for folder in folders.values())
    )
    return Figure(f"{name}: read as an ordinary file", same, "", 1, at_least=True)


def _make(work: Path, name: str, control: bool, seed: int = SEEDS[0]) -> None:
    python(CASES, "make", name, work, "--seed", str(seed), *(["--control"] if control else []))


def _run(verb: str, work: Path, settings: Mapping[str, str]) -> CompletedProcess[str]:
    """`clio-argo` without local contrast; one file of several pages is named itself."""
    files = list((work / "in").iterdir())
    source = files[0] if len(files) == 1 else work / "in"
    more = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    return run(
        [sys.executable, "-c", COMMAND, verb, "--source", source, "--out", work / "out", "--workers", "2",
         "--resolution", "8", "--log", "quiet", "--set", "contrast.clip_limit=0", *more],
        env=worker_environment(), check=False, capture_output=True, text=True,
    )  # fmt: skip


def _voxels(out: Path) -> NDArray[Any]:
    """All of the lossless volume, [z, y, x], of its first channel."""
    return np.asarray(clio_argo.open(str(out)).volume().read().result())
