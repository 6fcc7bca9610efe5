"""The scripts for Google Cloud, as far as they run without one: what they would do."""

import re
import subprocess
from pathlib import Path

GKE = Path(__file__).parents[1] / "manifests" / "gke"


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
    # a pool goes with its cluster; `storage rm` removes the bucket with its objects
    assert created - buckets - {"container node-pools spot"} == removed
    gone = re.findall(r"storage rm --recursive (\S+)", removal)
    assert buckets == {f"storage buckets {url}" for url in gone}
    assert len(created) == 8


def test_runs_stay_unless_asked() -> None:
    assert "gs://my-project-clio-argo " in dry("remove.sh").partition("kept: ")[2]
    assert "storage rm" not in dry("remove.sh")


def test_a_wrong_name_is_refused() -> None:
    command = [str(GKE / "create.sh"), "--dry-run", "p", "r", "Too_Long"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "NAME Too_Long" in done.stderr) == (2, True)


def test_what_has_no_label_stays(tmp_path: Path) -> None:
    gcloud, log = tmp_path / "gcloud", tmp_path / "log"
    # all exists; only the cluster is labelled as create.sh labels it
    gcloud.write_text(f'#!/bin/sh\necho "$*" >> {log}\ncase "$*" in *"clusters describe"*) echo clio-argo;; esac\n')
    gcloud.chmod(0o755)
    command = [str(GKE / "remove.sh"), "--with-data", "my-project", "europe-west4"]
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    deleted = [line for line in log.read_text().splitlines() if " delete " in line or "storage rm" in line]
    assert [line.partition(" --")[0] for line in deleted] == ["container clusters delete clio-argo"]
    assert done.stderr.count("so create.sh did not make it") == 6
