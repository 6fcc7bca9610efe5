"""Tests on a real Kubernetes with Argo Workflows; docs/testing.md says what they need."""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import BUCKET, SAME_DIGITS, TAG, Cluster, locked, make_bucket, namespace, own_address, upload
from tests.receivers import Sink, mail_server, webhook
from tests.stacks import DEMO, demo_slices, write_stack

# each process of tests has its own
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "").replace("gw", "-")
NAMESPACE = os.environ.get("CLIO_E2E_NAMESPACE", "clio-e2e") + WORKER
STORE = os.environ.get("CLIO_GCS_ENDPOINT", "")
EMULATOR = {"TENSORSTORE_GCS_HTTP_URL": STORE, "STORAGE_EMULATOR_HOST": STORE, "GOOGLE_AUTH_TOKEN_FOR_TESTING": "x"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is e2e, and asks for a cluster by KUBECONFIG and for a store by CLIO_GCS_ENDPOINT."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests share the cluster with those of other processes; one that changes all of it has it alone."""
    with locked("cluster", shared=item.get_closest_marker("whole_cluster") is None):
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def _store() -> Iterator[None]:
    """An emulator for this process, the programs it starts, and the pods."""
    if not (STORE and os.environ.get("KUBECONFIG")):
        stop = pytest.fail if os.environ.get("CLIO_REQUIRE_CLUSTER") == "1" else pytest.skip
        stop("no cluster: docs/testing.md, 'On a cluster', has the commands that make one; then: make e2e")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in EMULATOR.items():
            patch.setenv(name, value)
        yield


@dataclass(frozen=True)
class Receivers:
    """Who is told how runs ended, and what they got."""

    mail: str
    sink: Sink
    hook: str
    got: list[dict[str, Any]]


@pytest.fixture(scope="session")
def receivers(_store: None) -> Iterator[Receivers]:
    """A mail server and a webhook on an address of this machine that pods reach."""
    host, sink = own_address(), Sink()
    with mail_server(sink, host) as mail, webhook(200, host) as (hook, got):
        yield Receivers(mail, sink, hook, got)


@pytest.fixture(scope="session")
def cluster(_store: None, receivers: Receivers) -> Iterator[Cluster]:
    """The chart in a namespace of its own, which goes with the tests."""
    images = {n: {"repository": f"clio-argo-{n}", "tag": TAG} for n in ("align", "write")}
    values = {
        "images": images,
        "imagePullPolicy": "IfNotPresent",
        "cpu": "20m",
        "memoryMaxMib": 4096,
        "env": {**EMULATOR, **SAME_DIGITS},
        "retries": {"limit": 4, "wait": "1s", "longest": "10m"},
        "doctor": {"source": f"{BUCKET}/{NAMESPACE}/small", "run": f"{BUCKET}/doctor"},
    }
    found = Cluster(NAMESPACE, values)
    make_bucket(BUCKET)
    with namespace(NAMESPACE):
        secret = {"CLIO_SMTP_URL": f"smtp+plain://{receivers.mail}", "CLIO_WEBHOOK_URL": receivers.hook}
        pairs = (f"--from-literal={name}={value}" for name, value in secret.items())
        found.kubectl("create", "secret", "generic", "clio-argo-notification", *pairs)
        found.helm("install")
        yield found


@pytest.fixture(scope="session")
def demo(_store: None, cluster: Cluster) -> str:
    """The demo stack in the bucket: 60 slices, one of them noise."""
    return upload(DEMO, f"{BUCKET}/{cluster.namespace}/demo")


@pytest.fixture(scope="session")
def small(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six slices of 192 x 192 in the bucket."""
    folder = write_stack(tmp_path_factory.mktemp("small"), demo_slices(6))
    return upload(folder, f"{BUCKET}/{cluster.namespace}/small")
