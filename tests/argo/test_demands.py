"""What pods demand of a namespace, against objects as a Kubernetes 1.34 API sends them: each fault with its words."""

from functools import cache
from typing import Any

import pytest

from clio_argo.argo import demands
from clio_argo.argo.settings import ClusterSettings, Volume
from clio_argo.argo.workflow import workflow_template

Json = dict[str, Any]
TOKEN = "clio-argo-executor.service-account-token"
HOST = Volume(name="slices", mount_path="/data", source={"hostPath": {"path": "/data"}})


@cache
def plain() -> Json:
    return template(namespace=None)


def template(**settings: Any) -> Json:
    return dict(workflow_template(cluster=ClusterSettings(**settings)).to_dict()) if settings else plain()


def named(name: str, **more: Any) -> Json:
    return {"metadata": {"name": name, **more.pop("metadata", {})}, **more}


def quota(**hard: str) -> list[Json]:
    spelled = {name.replace("_", "."): value for name, value in hard.items()}
    return [named("team", spec={"hard": spelled}, status={"hard": spelled, "used": dict.fromkeys(spelled, "0")})]


def limits(kind: str = "Container", **item: Any) -> list[Json]:
    return [named("lab", spec={"limits": [{"type": kind, **item}]})]


def config(name: str, metadata: Json | None = None, **data: str) -> list[Json]:
    return [named(name, metadata=metadata or {}, data=data)]


def test_accounts_and_secrets_are_those_that_pods_name() -> None:
    secrets = ({"secretName": name, "optional": name == "b"} for name in "ab")
    keys = [Volume(name=s["secretName"], mount_path=f"/{s['secretName']}", source={"secret": s}) for s in secrets]
    found = template(image_pull_secrets=[{"name": "pull"}], volumes=keys)
    assert demands.accounts_of(found) == {
        "worker": "clio-argo-worker", "executor": "clio-argo-executor", "notifier": "clio-argo-notifier",
    }  # fmt: skip
    assert demands.secrets_of(found) == [TOKEN, "pull", "a"]
    assert demands.absent(demands.secrets_of(found), [named("pull"), named("a")]) == [TOKEN]


def test_a_token_that_is_missing_or_empty() -> None:
    assert demands.token_problems(template(), []) == [f"there is no secret {TOKEN}"]
    assert "holds no token" in demands.token_problems(template(), [named(TOKEN, data={"ca.crt": "x"})])[0]
    assert demands.token_problems(template(), [named(TOKEN, data={"token": "x"})]) == []


def test_a_notifier_without_the_identity_that_workers_have() -> None:
    identity = {"annotations": {demands.IDENTITY: "worker@project"}}
    worker, notifier = named("clio-argo-worker", metadata=identity), named("clio-argo-notifier")
    assert demands.identity_problems(template(), [worker, notifier]) == [
        f"account clio-argo-notifier has no annotation {demands.IDENTITY}, as clio-argo-worker has: it cannot read the "
        "run"
    ]
    assert demands.identity_problems(template(), [worker, named("clio-argo-notifier", metadata=identity)]) == []
    assert demands.identity_problems(template(), [named("clio-argo-worker"), notifier]) == []


@pytest.mark.parametrize(
    ("members", "problems"),
    [
        (["{pool}/subject/ns/em/sa/clio-argo-worker", "serviceAccount:n@project"], 1),
        (["{pool}/subject/ns/em/sa/clio-argo-worker", "{pool}/subject/ns/em/sa/clio-argo-notifier"], 0),
        (["{pool}/subject/ns/other/sa/clio-argo-worker"], 0),
        (["serviceAccount:worker@project"], 1),
        (["allUsers"], 0),
    ],
)
def test_a_bucket_that_only_the_workers_may_read(members: list[str], problems: int) -> None:
    worker = named("clio-argo-worker", metadata={"annotations": {demands.IDENTITY: "worker@project"}})
    granted = [m.format(pool="principal://iam.googleapis.com/projects/1/locations/global/p") for m in members]
    told = demands.grant_problems(template(), [worker, named("clio-argo-notifier")], "em", granted)
    words = "granted to account clio-argo-worker and not to clio-argo-notifier"
    assert [words in problem for problem in told] == [True] * problems


EXECUTOR = {"resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}}


@pytest.mark.parametrize(
    ("hard", "ranges", "executor", "words"),
    [
        ({"limits_cpu": "64"}, [], EXECUTOR, "quota team: limits.cpu must be set on every container"),
        ({"limits_cpu": "64"}, limits(default={"cpu": "4"}), {}, ""),
        ({"limits_cpu": "64"}, limits(max={"cpu": "4"}), {}, ""),
        ({"cpu": "64"}, [], {}, "quota team: cpu must be set on every container"),
        ({"cpu": "64"}, [], EXECUTOR, ""),
        ({"requests_memory": "8Gi"}, [], EXECUTOR, "requests.memory is 8Gi, the largest pod needs 12288Mi: raise it"),
        ({"requests_cpu": "500m"}, [], EXECUTOR, "requests.cpu is 500m, the largest pod needs 0.8: raise it"),
        ({"pods": "0"}, [], {}, "pods is 0, the largest pod needs 1: raise it"),
        ({"pods": "50", "services": "0"}, [], {}, ""),
    ],
)
def test_quotas_that_refuse_pods(hard: Json, ranges: list[Json], executor: Json, words: str) -> None:
    problems = demands.quota_problems(template(), quota(**hard), ranges, executor)
    assert (len(problems), words in "".join(problems)) == (bool(words), True), problems


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        (
            limits(max={"memory": "4Gi"}),
            "LimitRange lab: Container has at most 4Gi of memory, a pod may ask for 12288Mi",
        ),
        (limits("Pod", max={"cpu": "500m"}), "Pod has at most 500m of cpu, a pod may ask for 0.8: raise it"),
        (limits(min={"cpu": "2"}), "at least 2 of cpu, steps ask for 0.1: set cpu"),
        (limits(default={"cpu": "500m"}), "Container limits cpu to 500m by default, steps ask for 0.8: raise it"),
        (limits(default={"cpu": "800m"}), ""),
        (limits(max={"memory": "16Gi", "cpu": "4"}, min={"cpu": "10m", "memory": "4Mi"}), ""),
        (limits("PersistentVolumeClaim", max={"storage": "1Gi"}), ""),
    ],
)
def test_limit_ranges_that_refuse_pods(ranges: list[Json], words: str) -> None:
    problems = demands.range_problems(template(), ranges)
    assert (len(problems), words in "".join(problems)) == (bool(words), True), problems


@pytest.mark.parametrize(("level", "refused"), [("restricted", 1), ("baseline", 1), ("privileged", 0), ("", 0)])
def test_volumes_that_pod_security_refuses(level: str, refused: int) -> None:
    namespace = named("em", metadata={"labels": {demands.ENFORCED: level} if level else None})
    problems = demands.security_problems(template(volumes=[HOST]), namespace)
    assert [f"{demands.ENFORCED}={level} refuses pods with the volume slices (hostPath)" in p for p in problems] == [
        True
    ] * refused
    assert demands.security_problems(template(), namespace) == []


REPOSITORY = "gcs: {bucket: reports}"
NOWHERE = "reports and logs have no place: Argo has no artifact repository"
Maps = tuple[list[Json], list[Json]]


@pytest.mark.parametrize(
    ("artifacts", "maps", "words"),
    [
        ({}, ([], []), NOWHERE),
        ({}, ([], config("c", executor="{}")), NOWHERE),
        ({}, ([], config("c", artifactRepository=REPOSITORY)), ""),
        ({}, ([], config("c", config=f"artifactRepository: {{{REPOSITORY}}}")), ""),
        ({"kind": "s3"}, ([], config("c", artifactRepository=REPOSITORY)), "repository is gcs: set artifacts.kind"),
        ({"bucket": "own"}, ([], []), "logs have no place"),
        ({}, (config("r", {"annotations": {demands.DEFAULT_REPOSITORY: "v1"}}, v1=REPOSITORY), []), ""),
        (None, ([], []), ""),
    ],
)
def test_reports_that_have_no_place(artifacts: Json | None, maps: Maps, words: str) -> None:
    problems = demands.repository_problems(template(artifacts=artifacts), *maps)
    assert (len(problems), words in "".join(problems)) == (bool(words), True), problems


def test_nodes_that_are_too_small_for_the_largest_pod() -> None:
    node = {"metadata": {"labels": {}}, "spec": {}, "status": {"allocatable": {"memory": "8Gi"}}}
    (problem,) = demands.node_problems(template(), [node])
    assert problem.endswith("have 8192 MiB for pods: set memoryMaxMib to less (it is 12288)")
    assert all(name in problem for name in ("reduce", "publish"))
    assert list(demands.node_problems(template(memory_max_mib=4096), [node])) == []
    assert list(demands.node_problems(template(), [])) == []
