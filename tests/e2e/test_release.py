"""A release in a real registry: a chart without a registry says so, one of a release brings its images along."""

import json
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster import BUCKET, CHART, ROOT, TAG, Cluster, namespace, own_address, run
from tests.registries import Served, registry
from tests.releases import TOOLS, VERSION, clone, commit, registries
from tests.stacks import CLI

ALIGN, WRITE = "clio-argo-align", "clio-argo-write"
IMPORTS = ("--", "python", "-c", "import clio_argo.steps.write")


@dataclass(frozen=True)
class Released:
    """What `make release` left: its folder, and the chart's address."""

    served: Served
    dist: Path
    chart: str

    def images(self) -> dict[str, str]:
        """Reference by digest of each image."""
        lines = (self.dist / f"clio-argo-{VERSION}-images.txt").read_text().split()
        found = dict(line.rpartition(f":{VERSION}@")[::2] for line in lines)
        return {name.rpartition("/")[2]: f"{name}@{digest}" for name, digest in found.items()}


@pytest.fixture(scope="module")
def served(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A registry without TLS. docker, helm and containerd speak plain HTTP to their own machine's loopback alone."""
    addresses = run("kubectl", "get", "nodes", "--output", "jsonpath={.items[*].status.addresses[*].address}")
    if own_address() not in addresses.split():
        pytest.skip("the node is another machine, which cannot pull from this one's loopback address")
    with registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What builds packages: that of `make release`, or one made here."""
    if (TOOLS / "twine").exists():
        return TOOLS
    folder = tmp_path_factory.mktemp("tools")
    venv.create(folder, with_pip=True)
    run(folder / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", ROOT / ".ci" / "release.lock")
    return folder / "bin"


@pytest.fixture(scope="module")
def released(served: Served, tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Those images of the cluster's tests, each with a layer and so a digest that no node has, as a release."""
    folder, tested = tmp_path_factory.mktemp("release"), f"released-{served.host.rpartition(':')[2]}"
    place = f"{served.host}/em"
    for name in (ALIGN, WRITE):
        context = folder / name
        context.mkdir()
        (context / "Dockerfile").write_text(f"FROM {name}:{TAG}\nCOPY new /usr/local/share/clio-argo/\n")
        (context / "new").write_text(str(context))
        run("docker", "build", "--tag", f"{name}:{tested}", context)
    try:
        made = clone(folder / "clone")
        how = ("--version", VERSION, "--registry", place, "--tested", tested, "--tools", tools)
        run(sys.executable, made / ".ci" / "release.py", *how)
        again = run(sys.executable, made / ".ci" / "release.py", *how, check=False)
        assert f"registry {served.host} has charts/clio-argo:{VERSION}, and a release replaces nothing" in again
    finally:
        made_here = (
            f"{at}:{tag}" for name in (ALIGN, WRITE) for at, tag in ((name, tested), (f"{place}/{name}", VERSION))
        )
        run("docker", "rmi", *made_here, check=False)
    return Released(served, made / "dist", f"oci://{place}/charts/clio-argo")


def test_a_chart_without_a_registry_says_so(cluster: Cluster) -> None:
    """At once, by its notes and by `helm test`; no pod waits for an image that is nowhere."""
    told = f"no registry is set for {ALIGN} and {WRITE}, so no node can pull them: helm upgrade with --set"
    with namespace(f"{cluster.namespace}-nowhere"):
        at = ("--namespace", f"{cluster.namespace}-nowhere")
        assert told in run("helm", "install", "clio-argo", CHART, *at)
        said = run("helm", "test", "clio-argo", *at, check=False, timeout=60)
        assert told in said.partition("Error: ")[2]
        assert run("kubectl", "get", "pods", *at, "--output", "name") == ""


def test_what_was_released_is_whole(released: Released) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=released.dist, check=True)
    assert set(released.served.repositories()) == {f"em/{name}" for name in (ALIGN, WRITE, "charts/clio-argo")}


def test_the_demo_runs_from_the_registry(released: Released, cluster: Cluster, demo: str, tmp_path: Path) -> None:
    """The stack's pods are of one image, being small; a pod of its own starts the other."""
    values = {**cluster.values, "requireDigests": True}
    del values["images"]
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    ours, images = Cluster(f"{cluster.namespace}-released", values), released.images()
    assert not in_nodes(ours) & set(images.values())
    with namespace(ours.namespace):
        at = ("--namespace", ours.namespace, "--values", tmp_path / "values.yaml")
        run("helm", "install", "clio-argo", released.chart, "--version", VERSION, "--plain-http", *at)
        ours.kubectl("run", "writes", "--image", images[WRITE], "--restart=Never", "--command", *IMPORTS)
        ours.submit(demo, f"{BUCKET}/runs/released", "--set", "max_bad=1", "--name", "released", "--wait")
        assert ours.phase("released") == "Succeeded"
        ours.kubectl("wait", "pod/writes", "--for", "jsonpath={.status.phase}=Succeeded", "--timeout", "60s")
        assert pulled(ours) >= set(images.values())
    run(CLI, "verify", f"{BUCKET}/runs/released")


def cut_off(line: str, *command: object) -> str:
    """Interrupt a command, as people do, once it prints a line that begins so; what it printed from there on."""
    words = [str(c) for c in command]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        assert any(told.startswith(line) for told in process.stdout), line
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    return rest


def test_a_release_that_is_cut_off_goes_on(tools: Path, tmp_path: Path) -> None:
    """Of small images. What was pushed stays, each image under the digest that the chart will name.

    They are built on the digest that the base has in its registry, whatever its tag names later.
    """
    made, command = clone(tmp_path / "clone"), [sys.executable, tmp_path / "clone" / ".ci" / "release.py"]
    with registry(tmp_path) as served:
        place, base = f"{served.host}/em", f"{served.host}/base"
        (tmp_path / "base").mkdir()
        (tmp_path / "base" / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
        run("docker", "build", "--tag", f"{base}:1", tmp_path / "base")
        run("docker", "push", f"{base}:1")
        stages = (f"FROM ${{BASE}} AS {n}\nCOPY pyproject.toml /{n}\n" for n in ("align", "write"))
        (made / "images" / "Dockerfile").write_text(f"ARG BASE={base}:1\n" + "".join(stages))
        commit(made)
        command += ["--version", VERSION, "--registry", place, "--tools", tools]
        try:
            told = cut_off(f"+ docker push {place}/{WRITE}", *command)
            assert "interrupted; the same command begins again, and keeps what was pushed" in told
            first = digest_of(served, f"em/{ALIGN}")
            built_on = labels(f"{place}/{ALIGN}:{VERSION}")["org.opencontainers.image.base.name"]
            assert built_on == f"{base}@{registries.Registry(served.host).digest('base', '1')}"
            cut_off("+ helm package", *command)
            run("docker", "rmi", f"{place}/{ALIGN}:{VERSION}")
            again = run(*command)
            assert f"kept: {place}/{ALIGN}:{VERSION}" in again
            assert "+ docker push" not in again
        finally:
            run("docker", "rmi", f"{base}:1", *(f"{place}/{name}:{VERSION}" for name in (ALIGN, WRITE)), check=False)
        assert Released(served, made / "dist", "").images()[ALIGN] == f"{place}/{ALIGN}@{first}"


def labels(image: str) -> dict[str, str]:
    return dict(json.loads(run("docker", "image", "inspect", "--format", "{{json .Config.Labels}}", image)))


def digest_of(served: Served, repository: str) -> str:
    place, _, name = repository.rpartition("/")
    found = registries.Registry(f"{served.host}/{place}").digest(name, VERSION)
    assert found
    return str(found)


def in_nodes(cluster: Cluster) -> set[str]:
    """Names of the images that nodes have."""
    images = [image for node in cluster.objects("nodes") for image in node["status"]["images"]]
    return {name for image in images for name in image["names"] or ()}


def pulled(cluster: Cluster) -> set[str]:
    """Images that the kubelet says it has pulled for pods of the namespace."""
    said = [e["message"] for e in cluster.objects("events") if e["reason"] == "Pulled"]
    return {m.split('"')[1] for m in said if m.startswith("Successfully pulled image")}
