"""What the pods of a template demand of their namespace, compared with its objects. Pure functions: no calls.

Each returns what is wrong, in words that say what to do; objects are as the Kubernetes API sends them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from clio_argo.argo.health import MIB, amount, fits, kept_by, largest_mib, memory_max_mib, steps_of
from clio_argo.argo.nodes import Json

# Argo mounts it into its own container of pods that get no token by themselves
TOKEN = "{}.service-account-token"
ENFORCED = "pod-security.kubernetes.io/enforce"
# kinds of volumes that the levels of Pod Security allow, beside which all are refused
BASELINE_REFUSES = {"hostPath"}
RESTRICTED_ALLOWS = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
# what a quota may count of every container, by the spellings that it may have
COUNTED = {"cpu": "requests.cpu", "memory": "requests.memory"}
COMPUTED = ("requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
IDENTITY = "iam.gke.io/gcp-service-account"
DEFAULT_REPOSITORY = "workflows.argoproj.io/default-artifact-repository"


def accounts_of(template: Json) -> dict[str, str]:
    """Names of the service accounts by what they do."""
    spec = template["spec"]
    named = {t["serviceAccountName"] for t in steps_of(template) if "serviceAccountName" in t}
    executor = (spec.get("executor") or {}).get("serviceAccountName")
    roles = {"worker": spec.get("serviceAccountName"), "executor": executor, "notifier": next(iter(named), None)}
    return {role: name for role, name in roles.items() if name}


def secrets_of(template: Json) -> list[str]:
    """Names of the secrets without which no pod starts."""
    executor, spec = accounts_of(template).get("executor"), template["spec"]
    pulls = [s["name"] for s in spec.get("imagePullSecrets") or []]
    mounted = (v.get("secret") or {} for v in spec.get("volumes") or [])
    needed = [s["secretName"] for s in mounted if s.get("secretName") and not s.get("optional")]
    return [*([TOKEN.format(executor)] if executor else []), *pulls, *needed]


def absent(needed: Iterable[str], found: Iterable[Json]) -> list[str]:
    """Names of objects that are needed and not there."""
    there = {f["metadata"]["name"] for f in found}
    return [name for name in needed if name not in there]


def token_problems(template: Json, secrets: Sequence[Json]) -> list[str]:
    """Missing secrets, and a token that Kubernetes has not written."""
    problems = [f"there is no secret {name}" for name in absent(secrets_of(template), secrets)]
    token = TOKEN.format(accounts_of(template).get("executor"))
    empty = [s for s in secrets if s["metadata"]["name"] == token and "token" not in (s.get("data") or {})]
    return problems + [
        f"secret {token} holds no token: its service account is missing, or was made anew" for _ in empty
    ]


def identity_problems(template: Json, accounts: Sequence[Json]) -> list[str]:
    """Whether the notifier, which reads the run, has no identity of the cloud although the workers have one."""
    notes = {a["metadata"]["name"]: a["metadata"].get("annotations") or {} for a in accounts}
    worker, notifier = (accounts_of(template).get(role, "") for role in ("worker", "notifier"))
    if IDENTITY not in notes.get(worker, {}) or IDENTITY in notes.get(notifier, {IDENTITY: ""}):
        return []
    return [f"account {notifier} has no annotation {IDENTITY}, as {worker} has: it cannot read the run"]


def grant_problems(template: Json, accounts: Sequence[Json], namespace: str, members: Iterable[str]) -> list[str]:
    """Whether a bucket is granted to the workers' account and not to the notifier's, by its members of all roles."""
    there = {member.rpartition("/subject/")[2] for member in members}
    granted = {a["metadata"]["name"] for a in accounts if _members_of(a, namespace) & there}
    worker, notifier = (accounts_of(template).get(role, "") for role in ("worker", "notifier"))
    if worker not in granted or notifier in granted or not notifier:
        return []
    return [f"the bucket is granted to account {worker} and not to {notifier}: no mail or webhook tells of the run"]


def _members_of(account: Json, namespace: str) -> set[str]:
    """An account as a member of a policy: by its place in the cluster, and as the account of the cloud."""
    meta = account["metadata"]
    own = f"ns/{namespace}/sa/{meta['name']}"
    email = (meta.get("annotations") or {}).get(IDENTITY)
    return {own, *([f"serviceAccount:{email}"] if email else [])}


def quota_problems(template: Json, quotas: Sequence[Json], ranges: Sequence[Json], executor: Json) -> list[str]:
    """What quotas refuse: pods of the largest size, and containers without a figure that a quota counts.

    executor: settings of Argo's own containers, as the controller has them.
    """
    needs, set_ = largest_pod(template), _always_set(ranges, executor)
    problems = []
    for quota in quotas:
        for name, hard in (quota["spec"].get("hard") or {}).items():
            what, of = COUNTED.get(name, name), f"quota {quota['metadata']['name']}: {name}"
            if what in COMPUTED and what not in set_:
                problems.append(f"{of} must be set on every container, and is not: give a default in a LimitRange")
            elif what in needs and amount(hard) < needs[what]:
                problems.append(f"{of} is {hard}, the largest pod needs {_text(what, needs[what])}: raise it")
    return problems


def _always_set(ranges: Sequence[Json], executor: Json) -> set[str]:
    """Figures that all containers have: by a LimitRange, or by themselves and by Argo's settings of its own."""
    limits = [i for r in ranges for i in r["spec"]["limits"] if i["type"] == "Container"]
    # Kubernetes takes a default limit for the request, too, and the most allowed for the default limit
    by_range = {f"limits.{n}" for i in limits for key in ("default", "max") for n in i.get(key) or {}}
    by_range |= {
        f"requests.{n}" for i in limits for key in ("default", "defaultRequest", "max") for n in i.get(key) or {}
    }
    own = executor.get("resources") or {}
    by_executor = {f"{key}.{name}" for key in ("requests", "limits") for name in own.get(key) or {}}
    # steps limit their memory and never their CPU
    return by_range | (by_executor - {"limits.cpu"})


def range_problems(template: Json, ranges: Sequence[Json]) -> list[str]:
    """What a LimitRange refuses of the largest pod and of the smallest request of CPU."""
    needs = largest_pod(template)
    problems = []
    for found, item in ((r["metadata"]["name"], i) for r in ranges for i in r["spec"]["limits"]):
        if item["type"] not in ("Container", "Pod"):
            continue
        of = f"LimitRange {found}: {item['type']}"
        for name, most in (item.get("max") or {}).items():
            if (need := needs.get(f"requests.{name}", 0)) > amount(most):
                problems.append(f"{of} has at most {most} of {name}, a pod may ask for {_text(name, need)}: raise it")
        # steps never limit their CPU: the limit by default is theirs, and may be less than they ask for
        if (limit := (item.get("default") or {}).get("cpu")) and needs["requests.cpu"] > amount(limit):
            problems.append(f"{of} limits cpu to {limit} by default, steps ask for {needs['requests.cpu']:g}: raise it")
        for name, least in (item.get("min") or {}).items():
            if name == "cpu" and smallest_cpu(template) < amount(least):
                problems.append(f"{of} has at least {least} of cpu, steps ask for {smallest_cpu(template):g}: set cpu")
    return problems


def largest_pod(template: Json) -> dict[str, float]:
    """What the largest pod asks for, by the names of quotas."""
    cpu = max(map(_cpu, steps_of(template)), default=0.0)
    memory = float(max(map(memory_max_mib, steps_of(template)), default=0) * MIB)
    return {"pods": 1, "requests.cpu": cpu, "requests.memory": memory, "limits.memory": memory}


def smallest_cpu(template: Json) -> float:
    """The least CPU that a pod asks for."""
    return min(map(_cpu, steps_of(template)), default=0.0)


def _cpu(step: Json) -> float:
    resources = step["container"].get("resources") or {}
    return amount((resources.get("requests") or {}).get("cpu", "0"))


def _text(what: str, need: float) -> str:
    return f"{need / MIB:.0f}Mi" if "memory" in what else f"{need:g}"


def security_problems(template: Json, namespace: Json) -> list[str]:
    """Volumes of the template that the namespace's level of Pod Security refuses."""
    level = (namespace["metadata"].get("labels") or {}).get(ENFORCED, "privileged")
    kinds = {v["name"]: next(k for k in v if k != "name") for v in template["spec"].get("volumes") or []}
    refused = {
        "baseline": {n for n, kind in kinds.items() if kind in BASELINE_REFUSES},
        "restricted": {n for n, kind in kinds.items() if kind not in RESTRICTED_ALLOWS},
    }
    return [
        f"the namespace's label {ENFORCED}={level} refuses pods with the volume {name} ({kinds[name]}): use a "
        "persistentVolumeClaim, or another level"
        for name in sorted(refused.get(level, ()))
    ]


def repository_problems(template: Json, repositories: Sequence[Json], controllers: Sequence[Json]) -> list[str]:
    """Whether reports and logs have no place, or one of another kind than the template says.

    repositories, controllers: config maps artifact-repositories of the namespace, and those of the controller.
    """
    kept = kept_by(template)
    if not kept:
        return []
    kind = next(k for k in ("gcs", "s3", "azure", "oss") if k in kept[0])
    logs, own_bucket = template["spec"].get("archiveLogs"), kept[0][kind].get("bucket")
    place = _repository(repositories, controllers)
    if not place:
        what = "logs have" if own_bucket else "reports and logs have"
        return [f"{what} no place: Argo has no artifact repository"] if logs or not own_bucket else []
    if not own_bucket and kind not in place:
        other = next((k for k in place if isinstance(place[k], Mapping)), "another kind")
        return [f"the template keeps reports as {kind}, Argo's artifact repository is {other}: set artifacts.kind"]
    return []


def _repository(repositories: Sequence[Json], controllers: Sequence[Json]) -> Json:
    """The artifact repository that workflows of the namespace use; empty if there is none."""
    for found in repositories:
        name = (found["metadata"].get("annotations") or {}).get(DEFAULT_REPOSITORY)
        if name in (found.get("data") or {}):
            return _mapping(found["data"][name])
    return next((r for c in controllers if (r := _mapping(controller_setting(c, "artifactRepository")))), {})


def controller_setting(config: Json, name: str) -> Any:
    """A setting of the controller, which stands in its config map by itself or below `config`."""
    data = config.get("data") or {}
    return data[name] if name in data else _mapping(data.get("config")).get(name)


def executor_of(controllers: Sequence[Json]) -> Json:
    """Settings of Argo's own containers; empty if nobody set any."""
    return next((_mapping(controller_setting(c, "executor")) for c in controllers), {})


def _mapping(value: Any) -> Json:
    found = yaml.safe_load(value) if isinstance(value, str) else value
    return found if isinstance(found, dict) else {}


def node_problems(template: Json, nodes: Sequence[Json]) -> Iterator[str]:
    """Steps whose largest pod fits on none of the nodes that take it; no node at all may mean that one is added."""
    small: dict[tuple[int, int], list[str]] = {}
    for step in steps_of(template):
        fitting = [n for n in nodes if fits(n, step)]
        if fitting and largest_mib(fitting) < memory_max_mib(step):
            small.setdefault((largest_mib(fitting), memory_max_mib(step)), []).append(step["name"])
    for (largest, limit), steps in small.items():
        yield f"nodes for {', '.join(steps)} have {largest} MiB for pods: set memoryMaxMib to less (it is {limit})"
