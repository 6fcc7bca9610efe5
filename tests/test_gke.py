"""The scripts for Google Cloud, as far as they run without one: what they would do."""

import re
import subprocess
from pathlib import Path

import pytest

GKE = Path(__file__).parents[1] / "manifests" / "gke"
# looks succeed where the script is told a region and a state; all but the cluster lacks the label
GCLOUD = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
*"value(location)"*) echo europe-west4 ;;
*"value(status)"*) echo RUNNING ;;
*"clusters describe"*) echo clio-argo ;;
esac
"""


def dry(script: str, *options: str) -> str:
    """Output of a dry run where no gcloud or kubectl is in reach."""
    command = [str(GKE / script), "--dry-run", *options, "my-project", "europe-west4"]
    variables = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    return done.stdout


def made(text: str, verb: str) -> set[str]:
    """What gcloud makes or deletes, as `KIND NAME`; accounts by the first part of their address."""
    found = re.findall(rf"^\+ gcloud ([a-z -]+?) {verb} (?:--recursive )?([^ @]+)", text, re.MULTILINE)
    return {f"{kind} {name}" for kind, name in found}


def test_what_is_created_is_removed() -> None:
    removal = dry("remove.sh", "--with-data")
    created, removed = made(dry("create.sh"), "create"), made(removal, "delete")
    buckets = {line for line in created if line.startswith("storage buckets")}
    # a pool goes with its cluster, NAT with its router; `storage rm` removes the bucket with its objects
    assert created - buckets - {"container node-pools spot", "compute routers nats clio-argo"} == removed
    gone = re.findall(r"storage rm --recursive (\S+)", removal)
    assert buckets == {f"storage buckets {url}" for url in gone}
    assert len(created) == 10


def test_runs_stay_unless_asked_and_nobody_keeps_access_to_them() -> None:
    kept = dry("remove.sh")
    assert "gs://my-project-clio-argo," in kept.partition("kept: ")[2]
    assert "storage rm" not in kept
    granted, revoked = (
        set(re.findall(rf"\+ gcloud storage buckets {verb}-iam-policy-binding (.*)", text))
        for verb, text in (("add", dry("create.sh")), ("remove", kept))
    )
    assert granted == revoked


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("my-project", "r", "Too_Long"), "NAME Too_Long"), (("My Project", "r"), "PROJECT My Project: give its id")],
)
def test_a_wrong_name_is_refused(arguments: tuple[str, ...], words: str) -> None:
    command = [str(GKE / "create.sh"), "--dry-run", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, words in done.stderr) == (2, True)


def tools(folder: Path, *names: str) -> dict[str, str]:
    for name in names:
        (folder / name).write_text(GCLOUD.format(log=folder / "log"))
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_a_missing_tool_is_named_before_anything_is_made(tmp_path: Path) -> None:
    tools(tmp_path, "gcloud", "kubectl", "git")
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    command = ["/bin/bash", str(GKE / "create.sh"), "my-project", "europe-west4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": str(tmp_path)})
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        "not installed: gke-gcloud-auth-plugin (gcloud components install kubectl gke-gcloud-auth-plugin)",
    )
    assert not (tmp_path / "log").exists()


def test_what_has_no_label_stays(tmp_path: Path) -> None:
    variables = tools(tmp_path, "gcloud", "kubectl", "git", "gke-gcloud-auth-plugin")
    command = [str(GKE / "remove.sh"), "--with-data", "my-project", "europe-west4"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    log = (tmp_path / "log").read_text().splitlines()
    deleted = [line for line in log if " delete " in line or "storage rm" in line]
    assert [line.partition(" --")[0] for line in deleted] == ["container clusters delete clio-argo"]
    assert done.stderr.count("so create.sh did not make it") == 7
