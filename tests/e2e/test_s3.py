"""A run whose slices and volume are in an S3 of one's own, with keys from a mounted secret, as the docs say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import SAME_DIGITS, Cluster, download, namespace, own_address, run, upload
from tests.proxy import Faults, disturbed
from tests.stacks import contents, demo_slices, request, run_here, write_stack
from tests.stores import Bucket, Server

KEYS = "[default]\naws_access_key_id = AKMOUNTED\naws_secret_access_key = x\n"
FOLDER, SECRET = "/etc/s3", "s3"


@pytest.fixture
def seen(s3_server: Server) -> Iterator[Faults]:
    """What pods ask of the store, which this process asks without a proxy."""
    with disturbed(s3_server.endpoint, host=own_address()) as proxy:
        yield proxy


@pytest.fixture
def release(cluster: Cluster, s3: Bucket, seen: Faults, tmp_path: Path) -> Iterator[Cluster]:
    """The chart where pods know S3 only."""
    (tmp_path / "credentials").write_text(KEYS)
    variables = {"AWS_SHARED_CREDENTIALS_FILE": "credentials", "AWS_CONFIG_FILE": "credentials"}
    files = {name: f"{FOLDER}/{file}" for name, file in variables.items()}
    secret = {"name": "s3", "mountPath": FOLDER, "readOnly": True, "source": {"secret": {"secretName": SECRET}}}
    values = {
        **cluster.values,
        "artifacts": None,
        "env": {"AWS_ENDPOINT_URL_S3": seen.endpoint, "AWS_REGION": "us-east-1", **files, **SAME_DIGITS},
        "volumes": [secret],
        "doctor": {"source": f"{s3.url}/slices", "run": f"{s3.url}/doctor"},
    }
    found = Cluster(f"{cluster.namespace}-s3", values)
    with namespace(found.namespace):
        found.kubectl("create", "secret", "generic", SECRET, f"--from-file={tmp_path / 'credentials'}")
        found.helm("install")
        yield found


def test_slices_become_a_volume_in_s3(release: Cluster, s3: Bucket, seen: Faults, tmp_path: Path) -> None:
    folder = write_stack(tmp_path / "small", demo_slices(6))
    source, out = upload(folder, f"{s3.url}/slices"), f"{s3.url}/run"
    told = run("helm", "test", "clio-argo", "--namespace", release.namespace, "--logs")
    assert "WRONG" not in told
    release.submit(source, out, "--name", "s3", "--wait")
    here = run_here(request(folder, id="e2e", image="iso.%05d.png"), tmp_path / "here")
    assert contents(download(f"{out}/", tmp_path / "there")) == contents(here)
    # the doctor also asks as web pages do, which have no keys
    signed = [head for head in seen.heads if b"User-Agent: python-requests" not in head]
    assert signed
    assert not [head for head in signed if b"Credential=AKMOUNTED/" not in head]
