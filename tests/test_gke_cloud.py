"""The scripts for Google Cloud, run by the real gcloud against a stand-in for its interfaces."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[1]
RIG = Path(os.environ.get("CLIO_RIG_SCRIPT", ROOT / "../shared/rig/rig")).resolve().parent / "gke"
MISSING = [n for n in ("gcloud", "kubectl", "gke-gcloud-auth-plugin", "git", "unshare") if not shutil.which(n)]
WANTED = os.environ.get("CLIO_REQUIRE_GKE") == "1"
pytestmark = [
    pytest.mark.properties,
    pytest.mark.skipif(
        not WANTED and (not (RIG / "incloud").exists() or bool(MISSING) or os.geteuid() != 0),
        reason="no stand-in for Google Cloud: needs ../shared/rig/gke, root, gcloud with its plugin, kubectl and git",
    ),
]
PROJECT = {"projectId": "my-project", "projectNumber": "123456789012"}
QUOTAS = {"quotas": [{"metric": "CPUS", "limit": 32.0, "usage": 2.0}, {"metric": "N2D_CPUS", "limit": 500.0}]}
MARK = {"made-by": "clio-argo"}
REPOSITORIES = "projects/my-project/locations/europe-west4/repositories"
# the region's own words for an answer that says nothing about what is there
EXPIRED = {"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "Reauthentication is needed."}}
BUSY = {"error": {"code": 503, "status": "UNAVAILABLE", "message": "The service is currently unavailable."}}
UNKNOWN = {"error": {"code": 400, "message": "Service account clio-argo-nodes does not exist."}}
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: workflow-controller}
spec:
  template:
    spec: {containers: [{name: controller, image: registry.example/argoproj/workflow-controller:latest}]}
"""


def fault(method: str, path: str, status: int, body: Any, times: int = -1) -> dict[str, Any]:
    return {"method": method, "path": path, "n": times, "status": status, "body": body}


# what the stand-in does not know of itself
KNOWN = [fault("GET", "/v1/projects/my-project$", 200, PROJECT), fault("GET", "/regions/[a-z0-9-]+$", 200, QUOTAS)]


class Cloud:
    """A project of Google Cloud; its state lies in `folder`, as that of a person's machine does in `folder/home`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.bin.mkdir()
        # all but rendering is recorded
        kubectl = f'[ "$1" != kustomize ] || exec {shutil.which("kubectl")} "$@"\nexec {RIG}/bin/kubectl "$@"\n'
        (self.bin / "kubectl").write_text(f"#!/bin/sh\n{kubectl}")
        (self.bin / "kubectl").chmod(0o755)
        self.argo = argo_clone(folder / "argo")

    def start(self, script: str, *options: str, region: str = "europe-west4", **more: str) -> subprocess.Popen[str]:
        command = [RIG / "incloud", "env", f"PATH={self.bin}:{os.environ['PATH']}", ROOT / "manifests/gke" / script]
        own = {"FAKE_DIR": str(self.folder), "PAUSES": "0.1 0", "POLL_S": "0.1", **self.argo, **more}
        return subprocess.Popen(
            [*map(str, command), *options, "my-project", region], env={**os.environ, **own}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, script: str, *options: str, faults: tuple[dict[str, Any], ...] = (), **more: str) -> tuple[int, str]:
        """Exit code of a script, and what it printed."""
        self.set_faults(*faults)
        process = self.start(script, *options, **more)
        text = process.communicate(timeout=300)[0]
        self.keep_names()
        return process.returncode, text

    def interrupt(self, script: str, *options: str, method: str, path: str, sent: int) -> None:
        """Send a signal to all processes of a script as soon as it has asked for `path`."""
        self.set_faults()
        process = self.start(script, *options)
        before, until = len(self.calls()), time.monotonic() + 120
        while not any(c["m"] == method and re.search(path, c["path"]) for c in self.calls()[before:]):
            assert time.monotonic() < until, f"{path} was not asked for"
            time.sleep(0.05)
        for client in clients(process.pid):
            with suppress(psutil.NoSuchProcess):
                client.send_signal(sent)
        process.wait(timeout=60)
        # what was asked for is done, as by Google, before the stand-in ends
        time.sleep(1)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self.keep_names()

    def set_faults(self, *faults: dict[str, Any]) -> None:
        (self.folder / "faults.json").write_text(json.dumps([*faults, *KNOWN]))

    def calls(self) -> list[dict[str, Any]]:
        log = self.folder / "calls.jsonl"
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def changes(self, since: int = 0) -> list[str]:
        """What was made, changed or deleted; grants, which are made again each time, and services left out."""
        kinds = ("POST", "PUT", "PATCH", "DELETE")
        found = [f"{c['m']} {c['path']}" for c in self.calls()[since:] if c["m"] in kinds and c["code"] < 300]
        return [line for line in found if not re.search("[:/](get|set|test)?[iI]am(Policy)?$|services", line)]

    def state(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return read

    def save(self, state: dict[str, Any]) -> None:
        (self.folder / "state.json").write_text(json.dumps(state))

    def keep_names(self) -> None:
        """The stand-in forgets the display names of accounts."""
        state = self.state()
        made = (c["body"] for c in self.calls() if c["m"] == "POST" and c["path"].endswith("/serviceAccounts"))
        for body in made:
            email = f"{body['accountId']}@my-project.iam.gserviceaccount.com"
            state["sa"].get(email, {}).update(body["serviceAccount"])
        self.save(state)


def clients(group: int) -> list[psutil.Process]:
    """The processes that a terminal would signal, but for the stand-in."""
    first = psutil.Process(group)
    return [p for p in (first, *first.children(recursive=True)) if is_client(p, group)]


def is_client(process: psutil.Process, group: int) -> bool:
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        return os.getpgid(process.pid) == group and not any("fakecloud" in w for w in process.cmdline())
    return False


def argo_clone(folder: Path) -> dict[str, str]:
    """Variables that name a repository whose manifests are laid out as Argo's."""
    (folder / "manifests/cluster-install").mkdir(parents=True)
    (folder / "manifests/cluster-install/kustomization.yaml").write_text("resources: [controller.yaml]\n")
    (folder / "manifests/cluster-install/controller.yaml").write_text(DEPLOYMENT)
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in ("init -q", "add .", "commit -qm x", "tag v4.0.5"):
        subprocess.run([*git, *command.split()], check=True)
    tree = subprocess.run([*git, "rev-parse", "HEAD:manifests"], check=True, capture_output=True, text=True).stdout
    return {"ARGO_REPO": f"file://{folder}", "ARGO_TREE": tree.strip()}


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    assert not MISSING, f"CLIO_REQUIRE_GKE=1, but there is no {MISSING}"
    return Cloud(tmp_path)


def made(mark: dict[str, str] = MARK, name: str = "clio-argo nodes") -> dict[str, Any]:
    """A project in which create.sh has run; with another mark, one in which somebody has made all of it."""
    buckets = [f"my-project-clio-argo{end}" for end in ("", "-artifacts", "-tmp")]
    email = "clio-argo-nodes@my-project.iam.gserviceaccount.com"
    region, text = "europe-west4", ",".join(f"{k}={v}" for k, v in mark.items())
    return {
        "sa": {email: {"email": email, "displayName": name}},
        "bucket": {b: {"name": b, "location": region.upper(), "labels": mark} for b in buckets},
        "repo": {n: {"name": f"{REPOSITORIES}/{n}", "labels": mark} for n in ("clio-argo", "clio-argo-mirror")},
        "cluster": {"clio-argo": {
            "name": "clio-argo", "location": region, "status": "RUNNING", "resourceLabels": mark,
        }},
        "router": {"clio-argo": {"name": "clio-argo", "region": region, "description": text}},
        "pool": {"spot": {"name": "spot"}}, "policy": {}, "op": {},
    }  # fmt: skip


def things(state: dict[str, Any]) -> list[str]:
    kinds = ("sa", "bucket", "repo", "cluster", "pool", "router")
    return sorted(f"{kind} {name}" for kind in kinds for name in state.get(kind, {}))


def members(state: dict[str, Any]) -> list[tuple[str, str]]:
    """Who has which role, `KIND MEMBER`, at all things together."""
    bindings = [(key, b) for key, policy in state["policy"].items() for b in policy.get("bindings", [])]
    return sorted(
        (f"{key.rpartition('/')[2]} {b['role'].rpartition('/')[2]}", m) for key, b in bindings for m in b["members"]
    )


def test_made_with_interruptions_made_again_and_removed(cloud: Cloud) -> None:
    # Ctrl-C between a bucket and its label waits for the label
    cloud.interrupt("create.sh", method="POST", path="/b$", sent=signal.SIGINT)
    assert cloud.state()["bucket"]["my-project-clio-argo"]["labels"] == MARK
    assert not cloud.state()["cluster"]
    # and power may fail while the cluster is made
    cloud.interrupt("create.sh", method="POST", path="/clusters$", sent=signal.SIGKILL)
    assert list(cloud.state()["cluster"]) == ["clio-argo"]
    code, text = cloud.run("create.sh", faults=(fault("PUT", "/b/.*/iam$", 400, UNKNOWN, 1),))
    assert code == 0, text
    assert "again in 0.1 s" in text
    assert "quota CPUS of europe-west4: 2 of 32 in use; all nodes together have 112" in text
    assert "N2D_CPUS" not in text
    assert things(cloud.state()) == things(made())
    check_what_was_made(cloud)

    before, granted = len(cloud.calls()), members(cloud.state())
    code, text = cloud.run("create.sh", SPOT_MAX="7")
    assert code == 0, text
    assert cloud.changes(before) == ["PUT /v1/projects/my-project/locations/europe-west4/clusters/clio-argo"], (
        "only the size of the pool, which was asked for"
    )
    assert members(cloud.state()) == granted

    cloud.interrupt("remove.sh", "--with-data", method="DELETE", path="/clusters/", sent=signal.SIGKILL)
    code, text = cloud.run("remove.sh", "--with-data")
    assert code == 0, text
    assert things(cloud.state()) == []
    assert not [m for m in members(cloud.state()) if m[0].startswith("my-project ")]


def check_what_was_made(cloud: Cloud) -> None:
    state = cloud.state()
    pool = "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/my-project.svc.id.goog"
    notifier = {
        kind for kind, member in members(state) if member == f"{pool}/subject/ns/clio-argo/sa/clio-argo-notifier"
    }
    assert len(notifier) == 2, "the run and its logs"
    rules = {n: b.get("lifecycle", {}).get("rule", []) for n, b in state["bucket"].items()}
    assert [r[0]["condition"]["age"] for _, r in sorted(rules.items()) if r] == [60, 30]
    assert re.search('PrivateNodes": true', json.dumps(state["cluster"]["clio-argo"]))
    assert all("gcfsConfig" in json.dumps(pool) for pool in state["pool"].values()), "images are streamed"
    kubectl = (cloud.folder / "kubectl.log").read_text()
    mirror = "europe-west4-docker.pkg.dev/my-project/clio-argo-mirror/argoproj"
    assert f"{mirror}/argoexec:v4.0.5" in kubectl.replace("\\", "")
    assert "registry.example" in json.dumps(state["repo"]["clio-argo-mirror"])
    assert "create namespace clio-argo" in kubectl


@pytest.mark.parametrize(
    ("faults", "region", "words"),
    [
        ((fault("GET", ".", 401, EXPIRED),), "europe-west4", "run the same command again"),
        ((fault("GET", "clusters/clio-argo$", 503, BUSY),), "europe-west4", "run the same command again"),
        ((fault("GET", "/b/", 403, {"error": {"code": 403}}),), "europe-west4", "run the same command again"),
        ((), "us-east4", "is in europe-west4, not in us-east4: nothing was done"),
    ],
    ids=["login", "503", "no-permission", "region"],
)
def test_what_could_not_be_seen_is_not_taken_for_removed(
    cloud: Cloud, faults: tuple[dict[str, Any], ...], region: str, words: str
) -> None:
    cloud.save(made())
    code, text = cloud.run("remove.sh", "--with-data", faults=faults, region=region)
    assert code == 1, text
    assert words in text
    assert cloud.changes() == []
    assert things(cloud.state()) == things(made())


def test_what_others_made_is_neither_removed_nor_used(cloud: Cloud) -> None:
    theirs = made({"made-by": "them"}, "their nodes")
    cloud.save(theirs)
    code, text = cloud.run("remove.sh", "--with-data")
    assert (code, cloud.changes()) == (0, []), text
    assert text.count("so create.sh did not make it") == len(things(theirs)) - 1, "a pool belongs to its cluster"
    code, text = cloud.run("create.sh")
    assert (code, cloud.changes()) == (1, []), text
    assert "give another NAME" in text


def test_a_cluster_that_failed_is_not_built_upon(cloud: Cloud) -> None:
    state = made()
    state["cluster"]["clio-argo"]["status"] = "ERROR"
    cloud.save(state)
    code, text = cloud.run("create.sh")
    assert code == 1
    assert "cluster clio-argo is ERROR, not RUNNING" in text
    assert not (cloud.folder / "kubectl.log").exists()


def test_other_manifests_of_argo_are_refused(cloud: Cloud, tmp_path: Path) -> None:
    def fetch(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "manifests/argo.sh", tmp_path / "argo.yaml"], env={**os.environ, **cloud.argo, **more},
            check=False, capture_output=True, text=True,
        )  # fmt: skip

    assert fetch().returncode == 0
    assert "registry.example/argoproj/workflow-controller:v4.0.5" in (tmp_path / "argo.yaml").read_text()
    (tmp_path / "argo.yaml").unlink()
    refused = fetch(ARGO_TREE="0" * 40)
    assert refused.returncode == 1
    assert f"have the checksum {cloud.argo['ARGO_TREE']}, not" in refused.stderr
    assert not (tmp_path / "argo.yaml").exists()
