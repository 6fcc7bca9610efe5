"""Whether workflows can run on a cluster, judged from its objects. Pure functions: no calls."""

from collections.abc import Iterable, Iterator, Sequence

from clio_argo.argo.nodes import Json

# reasons of a container that waits for its image and will not get it
UNPULLED = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")
MEMORY_MAX = "CLIO_MEMORY_MAX_MIB"
MIB = 2**20  # bytes, the unit of all settings of memory
# suffixes of Kubernetes' quantities
UNITS = {
    **{unit: 1e-3**power for power, unit in enumerate("mun", 1)},
    **{unit: 1e3**power for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": 2.0 ** (10 * power) for power, unit in enumerate("KMGTPE", 1)},
}


def steps_of(template: Json) -> list[Json]:
    """The templates of all containers."""
    return [t for t in template["spec"].get("templates") or [] if "container" in t]


def kept_by(template: Json) -> list[Json]:
    """The artifacts that its steps leave."""
    return [a for t in steps_of(template) for a in (t.get("outputs") or {}).get("artifacts", [])]


def images_of(template: Json) -> set[str]:
    """Images of all containers of a template."""
    return {t["container"]["image"] for t in steps_of(template)}


def unpulled(pods: Iterable[Json]) -> list[str]:
    """Images that pods wait for, each with the message of its node."""
    waiting = ((s["image"], s.get("state", {}).get("waiting") or {}) for s in _containers(pods))
    return sorted(
        {f"{image}: {w.get('message') or w['reason']}" for image, w in waiting if w.get("reason") in UNPULLED}
    )


def pulled(nodes: Iterable[Json], pods: Iterable[Json]) -> set[str]:
    """Images that nodes hold, or that containers were started from."""
    images = (i for n in nodes for i in n.get("status", {}).get("images", []))
    held = {name for i in images for name in i.get("names") or []}
    # a node lists its 50 largest images only
    return {short(name) for name in held | {s["image"] for s in _containers(pods) if s.get("imageID")}}


def _containers(pods: Iterable[Json]) -> Iterator[Json]:
    return (s for p in pods for s in p.get("status", {}).get("containerStatuses", []))


def short(image: str) -> str:
    """The name without the prefix that runtimes add to images without a registry."""
    return image.removeprefix("docker.io/").removeprefix("library/")


def regions_of(nodes: Iterable[Json]) -> set[str]:
    """Regions of the cloud that the nodes are in; empty outside a cloud."""
    return {r for n in nodes if (r := n["metadata"].get("labels", {}).get("topology.kubernetes.io/region"))}


def apart(regions: Iterable[str], location: str) -> bool:
    """Whether a bucket at `location` is in none of the regions."""
    # a bucket of a continent (EU, US, ASIA) is in all regions of that continent
    place = location.lower()
    begin = {"eu": "europe-", "us": "us-", "asia": "asia-"}.get(place, place)
    return not any(region.startswith(begin) for region in regions)


def workers_of(template: Json) -> Json:
    """The template of the worker pods."""
    # all are placed alike, so the first one tells
    tasks = (task for t in template["spec"]["templates"] for task in t.get("dag", {}).get("tasks", []))
    name = next(task["template"] for task in tasks if "withParam" in task)
    return dict(next(t for t in template["spec"]["templates"] if t["name"] == name))


def memory_max_mib(workers: Json) -> int:
    """The memory in MiB that a worker pod may get; 0 if it is not limited."""
    return next((int(e["value"]) for e in workers["container"].get("env", []) if e["name"] == MEMORY_MAX), 0)


def fits(node: Json, workers: Json) -> bool:
    """Whether the labels and taints of a node admit a worker pod."""
    labels, spec = node["metadata"].get("labels", {}), node.get("spec", {})
    selector = workers.get("nodeSelector", {}).items()
    taints = (t for t in spec.get("taints", []) if t["effect"] != "PreferNoSchedule")
    tolerations = workers.get("tolerations", [])
    return selector <= labels.items() and all(any(_tolerates(t, taint) for t in tolerations) for taint in taints)


def _tolerates(toleration: Json, taint: Json) -> bool:
    same = toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
    return toleration["key"] == taint["key"] and same and toleration.get("effect") in (None, taint["effect"])


def largest_mib(nodes: Sequence[Json]) -> int:
    """The memory in MiB that the largest node has for pods; 0 without nodes."""
    return max((int(amount(n["status"]["allocatable"]["memory"])) // MIB for n in nodes), default=0)


def amount(quantity: str | int) -> float:
    """A quantity of Kubernetes: bytes, cores or a count."""
    text = str(quantity)
    unit = next((u for u in UNITS if text.endswith(u)), "")
    return float(text.removesuffix(unit)) * UNITS.get(unit, 1)
