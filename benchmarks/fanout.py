"""The template of a stack of 100,000 slices on a real controller, with a step image that does nothing.

plan, suspects and solve tell their parts as for that stack; all pods run. Needs a cluster (docs/testing.md), an
executable `CLIO_RIG_SCRIPT` that builds images into its nodes, and the process id of Argo's controller on this machine.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cluster_stack import planned
from benchmarks.figures import Figure
from benchmarks.rig import namespace, submitted
from clio_argo.argo.kube import KubeClient
from clio_argo.argo.nodes import ENDED, Json, pack, raw_nodes
from clio_argo.argo.settings import Cleanup, ClusterSettings, Image
from clio_argo.container import save_outputs
from clio_argo.model.request import MAX_PARTS, Request
from clio_argo.model.step import Part, StepResult

SLICES, SIDE_PX = 100_000, 5000
QUICK_PARTS = 3
NAMESPACE, TAG, EVERY_S = "clio-fanout", "clio-argo-noop:1", 2.0
# what a shell and Argo's program before it need: of pods with the memory of real parts few fit into one small node
POD_MIB = 128
# what etcd takes as one object
ETCD_MIB = 1.5
MIB = 2**20
DOCKERFILE = """
FROM debian:bookworm-slim
COPY outputs /outputs
COPY clio-argo-step /usr/local/bin/clio-argo-step
USER 65532:65532
"""
STEP = '#!/bin/sh\n[ ! -d "/outputs/$1" ] || cp -r "/outputs/$1" "$CLIO_OUTPUTS"\n'


@dataclass(frozen=True)
class Seen:
    """What a look at the workflow found: its size as JSON, and what nodes take either way, tries alone and all."""

    object_bytes: int
    plain_bytes: int
    packed_bytes: int
    tries_bytes: int
    compressed: bool
    controller_mib: float


def measure(work: Path, quick: bool) -> list[Figure]:
    """Time, memory of the controller, and size of the workflow, for as many parts as the default allows."""
    most = QUICK_PARTS if quick else int(os.environ.get("CLIO_FANOUT_PARTS", MAX_PARTS))
    outputs = outputs_of_steps(most)
    build(work / "image", outputs)
    with namespace(settings()) as client:
        began = time.monotonic()
        name = submitted(client, {"run": "gs://runs/fly", "config": "{}"})
        seen = list(watched(client, name))
        taken_s = time.monotonic() - began
        ended = client.get(name)
    return figures(most, outputs, ended, seen, taken_s)


def outputs_of_steps(most: int) -> dict[str, StepResult]:
    """What the steps say that others fan out over, by their own functions."""
    request = Request(id="fanout", source="gs://slices/fly", resolution=(8, 8, 8), max_parts=most)
    results = planned(request, SLICES, SIDE_PX, SIDE_PX).results
    return {
        step: result.model_copy(update={"memory_mib": dict.fromkeys(result.memory_mib, POD_MIB)})
        for step, result in results.items()
    }


def build(folder: Path, outputs: dict[str, StepResult]) -> None:
    """The step image, which only hands these outputs to Argo."""
    folder.mkdir()
    for step, values in outputs.items():
        save_outputs(values, folder / "outputs" / step)
    (folder / "clio-argo-step").write_text(STEP)
    (folder / "clio-argo-step").chmod(0o755)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    command = [os.environ["CLIO_RIG_SCRIPT"], "build", str(folder), "-t", TAG]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def settings() -> ClusterSettings:
    """The real template, but pods that ask for little."""
    repository, _, tag = TAG.partition(":")
    images = {n: Image(repository=repository, tag=tag) for n in ("align", "write")}
    return ClusterSettings(
        namespace=NAMESPACE, images=images, cpu="10m", artifacts=None, cleanup=Cleanup(pod_delay="1s")
    )


def watched(client: KubeClient, name: str) -> Iterator[Seen]:
    """A look every two seconds until the workflow has ended."""
    controller = next(p for p in psutil.process_iter(["name"]) if p.info["name"] == "workflow-controller")
    while (found := client.get(name)).get("status", {}).get("phase") not in ENDED:
        yield look(found, controller)
        time.sleep(EVERY_S)
    yield look(found, controller)


def look(found: Json, controller: psutil.Process) -> Seen:
    nodes = raw_nodes(found)
    return Seen(
        object_bytes=len(compact(found)),
        plain_bytes=len(compact(nodes)),
        packed_bytes=len(pack(nodes)),
        tries_bytes=len(pack({k: n for k, n in nodes.items() if n["type"] == "Pod"})),
        compressed="compressedNodes" in found.get("status", {}),
        controller_mib=controller.memory_info().rss / MIB,
    )


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def figures(most: int, outputs: dict[str, StepResult], ended: Json, seen: list[Seen], taken_s: float) -> list[Figure]:
    """Of the whole, of one pod, and what the nodes of the default's most parts would come to."""
    parts = {k.removesuffix("_parts"): len(v) for k, v in lists_of(outputs)}
    pods = sum(n["type"] == "Pod" for n in raw_nodes(ended).values())
    whole = pods - sum(parts.values()) + sum(len(v) for _, v in lists_of(outputs_of_steps(MAX_PARTS)))
    last = seen[-1]
    plain, packed, again = (b / pods for b in (last.plain_bytes, last.packed_bytes, last.tries_bytes))
    stages = ", ".join(f"{name} {n}" for name, n in parts.items())
    return [
        Figure("pods", pods, "", note=f"max_parts {most}: {stages}, single steps"),
        Figure("ended well", float(ended["status"]["phase"] == "Succeeded"), "", 1, at_least=True),
        Figure("time", taken_s / 60, "min", note=f"{taken_s / pods:.2f} s a pod; pods run on the same two cores"),
        Figure("controller's memory", max(s.controller_mib for s in seen), "MiB", note="largest resident"),
        Figure("the object, at its largest", max(s.object_bytes for s in seen) / MIB, "MiB", ETCD_MIB,
               note="as etcd has it, managed fields included; the controller compresses above 1 MiB of its own"),
        Figure("compressed by the controller", float(any(s.compressed for s in seen)), "", note="1: at some time"),
        Figure("nodes of a pod, plain", plain, "bytes", note=f"{plain * pods / MIB:.2f} MiB in all"),
        Figure("nodes of a pod, compressed", packed, "bytes", note=f"{packed * pods / MIB:.2f} MiB in all"),
        Figure("nodes of the default, compressed", packed * whole / MIB, "MiB", 0.5,
               note=f"max_parts {MAX_PARTS}: {whole:,} pods, by the line above; an object may have 1 MiB"),
        Figure("the same, each part tried three times", (packed + 2 * again) * whole / MIB, "MiB", 1,
               note=f"{again:.0f} bytes for one more try"),
    ]  # fmt: skip


def lists_of(results: dict[str, StepResult]) -> list[tuple[str, tuple[Part, ...]]]:
    """Lists of parts by their names."""
    return [(name, parts) for result in results.values() for name, parts in result.parts.items()]
