"""A pipeline of a few short steps, emitted and run as the real one: for tests of what people do with workflows."""

from typing import Any

from clio_argo.argo import ClusterSettings
from clio_argo.argo.manifests import manifests
from clio_argo.argo.nodes import Json
from clio_argo.argo.settings import Approval, Cleanup
from clio_argo.pipeline import Pipeline, Step

PYTHON = "python:3.11-slim-bookworm"
# a list of parts; part 7 is in it when the request has the label that asks for it
PLAN = """
import json, os, pathlib
labels = json.loads(os.environ["CLIO_REQUEST"])["labels"]
parts = [0, 1] + ([7] if "broken" in labels else [])
outputs = pathlib.Path("/tmp/outputs"); outputs.mkdir()
(outputs / "match_parts").write_text(json.dumps([f"{p}0-{p}9" for p in parts]))
print("planned", len(parts), "parts")
"""
MATCH = """
import os, pathlib, sys, time
part = os.environ["PART"][0]
print("part", part, flush=True)
pathlib.Path(os.environ["ARGO_PROGRESS_FILE"]).write_text("1/2")
if part == "7":
    pathlib.Path("/dev/termination-log").write_text("slice 74 cannot be read")
    sys.exit(2)
if part == "1" and os.environ["TRY"] == "0":
    sys.exit(75)
"""
PUBLISH = """
import pathlib
outputs = pathlib.Path("/tmp/outputs"); outputs.mkdir()
(outputs / "link").write_text("https://viewer/#!fly")
"""


def step(name: str, code: str, **facts: Any) -> Step:
    return Step(name, image=PYTHON, command=("python", "-c", code), memory="32", cpu="10m", **facts)


PARTS = {"fan_out": "plan.match_parts", "env": (("PART", "$(CLIO_PART)"), ("TRY", "{{retries}}"))}
SMALL = Pipeline(
    (
        step("plan", PLAN, reads_request=True),
        step("match", MATCH, after=("plan",), **PARTS),
        step("publish", PUBLISH, after=("match",), outputs=("link",)),
    ),
    approval="match",
)
SETTINGS = ClusterSettings(
    namespace="clio-client",
    artifacts=None,
    approval=Approval(wait="10m"),
    cleanup=Cleanup(pod_delay="10m"),
    memory_max_mib=256,
)


NOBODY = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}}


def documents() -> list[Json]:
    """All that a namespace needs, and an account that may do nothing."""
    return [*(document for file in manifests(SMALL, SETTINGS).values() for document in file), NOBODY]
