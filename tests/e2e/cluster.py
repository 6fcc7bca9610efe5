"""A namespace of a real cluster with the chart in it, and the commands that people use there."""

import fcntl
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from clio_argo.store.documents import Store
from clio_argo.workspace.logs import read_attempts
from tests.stacks import CLI

ROOT = Path(__file__).parents[2]
CHART, BUILD = ROOT / "helm" / "clio-argo", ROOT / "build"
# of this process alone: a run goes on where another one stopped
BUCKET = f"gs://clio-e2e-{time.time_ns():x}"
# program that kills and starts the workflow controller: `RIG controller kill`
RIG = os.environ.get("CLIO_RIG_SCRIPT")
# a person is asked in the middle, between two pods
ASK = ("-p", "approval=ask")
# pods of its own for each stage, however small the stack is
PARTS = ("--set", "single_pod_minutes=0")
# of the images in the nodes
TAG = os.environ.get("CLIO_E2E_TAG", "test")
# the kernels of BLAS decide the last digits of a fit: pods use those of this process
SAME_DIGITS = {n: v for n, v in os.environ.items() if n.startswith("OPENBLAS_")}
Json = dict[str, Any]
T = TypeVar("T")


def run(*command: object, check: bool = True, timeout: float = 900, **variables: str) -> str:
    """Standard output and errors of a command; AssertionError with them if it fails."""
    text = [str(c) for c in command]
    done = subprocess.run(
        text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=timeout,
        env={**os.environ, **variables},
    )  # fmt: skip
    assert not check or done.returncode == 0, f"{' '.join(text)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def own_address() -> str:
    """The address of this machine that pods reach."""
    return os.environ.get("CLIO_RIG_IP") or socket.gethostbyname(socket.gethostname())


def make_bucket(url: str) -> str:
    """A new bucket of the emulator."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    storage.Client(project="rig", credentials=AnonymousCredentials()).create_bucket(url.removeprefix("gs://"))
    return url


@contextmanager
def no_controller() -> Iterator[None]:
    """Kill Argo's controller, where that can be done, and start another one."""
    if not RIG:
        yield
        return
    with locked("controller"):
        run(RIG, "controller", "kill")
        try:
            yield
        finally:
            run(RIG, "controller", "start")


@contextmanager
def locked(what: str, shared: bool = False) -> Iterator[None]:
    """Hold what all processes of tests have in common, alone or with others that share it."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f"{what}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


@contextmanager
def namespace(name: str) -> Iterator[None]:
    """An empty namespace for the tests; one that a killed session left goes first."""
    gone = ("kubectl", "delete", "namespace", name, "--ignore-not-found", "--wait", "--timeout=300s")
    run(*gone)
    run("kubectl", "create", "namespace", name)
    try:
        yield
    finally:
        run(*gone)


@dataclass(frozen=True)
class Cluster:
    """One namespace."""

    namespace: str
    values: Json

    def kubectl(self, *arguments: object, check: bool = True) -> str:
        return run("kubectl", "--namespace", self.namespace, *arguments, check=check)

    def objects(self, kind: str, selector: str = "") -> list[Json]:
        found = json.loads(self.kubectl("get", kind, "--selector", selector, "--output", "json"))
        return list(found["items"])

    def helm(self, verb: str, *arguments: object, **values: Any) -> str:
        """A helm command on the release, with `values` over those of all tests."""
        file = BUILD / f"{self.namespace}-values.yaml"
        BUILD.mkdir(exist_ok=True)
        file.write_text(yaml.safe_dump({**self.values, **values}))
        return run("helm", verb, "clio-argo", CHART, "--namespace", self.namespace, "--values", file, *arguments)

    def clio(self, *arguments: object, check: bool = True, **variables: str) -> str:
        return run(CLI, *arguments, "--namespace", self.namespace, check=check, **variables)

    def submit(self, source: str, out: str, *arguments: object, check: bool = True, **variables: str) -> str:
        """`clio-argo submit` of numbered slices at 10 nm."""
        request = ("--source", source, "--image", "iso.%05d.png", "--resolution", 10, "--set", "id=e2e")
        return self.clio("submit", *request, "--run", out, *arguments, check=check, **variables)

    def workflow(self, name: str) -> Json:
        return dict(json.loads(self.kubectl("get", "workflow", name, "--output", "json")))

    def phase(self, name: str) -> str:
        return str(self.workflow(name).get("status", {}).get("phase", ""))

    def pods(self, name: str, step: str, phase: str = "Running") -> list[str]:
        """Names of a workflow's pods of one step."""
        found = self.objects("pods", f"workflows.argoproj.io/workflow={name},clio-argo/step={step}")
        return [p["metadata"]["name"] for p in found if p["status"]["phase"] == phase]

    def running(self, name: str, step: str, part: int = 0, but: str = "") -> Json:
        """The pod of a step's part whose own container runs, unless its uid is `but`."""
        return until(lambda: self._main_runs(name, step, part, but), f"a running pod of {step}")

    def _main_runs(self, name: str, step: str, part: int, but: str) -> Json | None:
        for pod in self.objects("pods", f"workflows.argoproj.io/workflow={name},clio-argo/step={step}"):
            states = {c["name"]: c["state"] for c in pod["status"].get("containerStatuses", [])}
            if "running" in states.get("main", {}) and pod["metadata"]["uid"] != but and is_part(pod, part):
                return pod
        return None

    def ended(self, name: str) -> Json:
        """The workflow when it has ended."""
        until(lambda: self.phase(name) in ("Succeeded", "Failed", "Error"), f"the end of {name}")
        return self.workflow(name)


def is_part(pod: Json, part: int) -> bool:
    name = pod["metadata"]["annotations"]["workflows.argoproj.io/node-name"]
    return f"({part}:" in name or (not part and not re.search(r"\(\d+:", name))


def until(look: Callable[[], T | None], what: str, timeout: float = 600) -> T:
    """What `look` finds as soon as it finds something."""
    end = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < end, f"gave up waiting for {what}"
        time.sleep(0.5)
    return found


def waiting(cluster: Cluster, name: str) -> str:
    """Until the workflow waits for a person; the id of the question."""

    def asked() -> str | None:
        found = cluster.workflow(name).get("status", {}).get("nodes", {}).values()
        return next((n["id"] for n in found if n["type"] == "Suspend" and n["phase"] == "Running"), None)

    return until(asked, f"the question of {name}")


def nodes(workflow: Json, step: str) -> list[Json]:
    """Tries of a step's parts."""
    found = workflow["status"]["nodes"].values()
    return [n for n in found if n["type"] == "Pod" and n["templateName"] == step]


def outputs(workflow: Json) -> dict[str, str]:
    return {p["name"]: p["value"] for p in workflow["status"]["outputs"]["parameters"]}


def upload(folder: Path, url: str) -> str:
    store = Store(url)
    for file in sorted(folder.glob("*.png")):
        store.write(file.name, file.read_bytes())
    return url


def download(url: str, folder: Path) -> Path:
    store = Store(url)
    for name in store.names():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(store.need(name))
    return folder


def units_done(url: str) -> dict[str, int]:
    """Units that all attempts together made, by step: one per unit if nothing was done twice."""
    store, done = Store(url), dict[str, int]()
    for attempt in read_attempts(store)[0]:
        done[attempt.step] = done.get(attempt.step, 0) + attempt.done
    return done
