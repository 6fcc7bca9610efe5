"""What objects of a cluster say about whether workflows can run there. Pure: no calls."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clio_argo.argo.nodes import Json

UNPULLED = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull")
MEMORY_MAX = "CLIO_MEMORY_MAX_MIB"
MIB = 2**20
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def images_of(template: Json) -> set[str]:
    return {t["container"]["image"] for t in template["spec"]["templates"] if "container" in t}


def unpulled(pods: Iterable[Json]) -> list[str]:
    """Images that pods wait for, with what the node says."""
    states = (s for p in pods for s in p.get("status", {}).get("containerStatuses", []))
    waiting = ((s["image"], s.get("state", {}).get("waiting") or {}) for s in states)
    return sorted(
        {f"{image}: {w.get('message') or w['reason']}" for image, w in waiting if w.get("reason") in UNPULLED}
    )


def pulled(nodes: Iterable[Json], pods: Iterable[Json]) -> set[str]:
    """Images that nodes say they hold, or that containers have run from."""
    held = {name for n in nodes for i in n.get("status", {}).get("images", []) for name in i.get("names") or []}
    states = (s for p in pods for s in p.get("status", {}).get("containerStatuses", []))
    return {short(name) for name in held | {s["image"] for s in states if s.get("imageID")}}


def short(image: str) -> str:
    """The name without what runtimes put before images of no registry."""
    return image.removeprefix("docker.io/").removeprefix("library/")


def regions_of(nodes: Iterable[Json]) -> set[str]:
    return {r for n in nodes if (r := n["metadata"].get("labels", {}).get("topology.kubernetes.io/region"))}


def apart(regions: Iterable[str], location: str) -> bool:
    """Whether a bucket lies in none of these regions; one of a continent (EU, US, ASIA) lies in all that are there."""
    place = location.lower()
    begin = {"eu": "europe-", "us": "us-", "asia": "asia-"}.get(place, place)
    return not any(region.startswith(begin) for region in regions)


def workers_of(template: Json) -> Json:
    """The container template of the parts of a big stage."""
    graph = next(t for t in template["spec"]["templates"] if t["name"] == template["spec"]["entrypoint"])
    name = next(t["template"] for t in graph["dag"]["tasks"] if "withParam" in t)
    return dict(next(t for t in template["spec"]["templates"] if t["name"] == name))


def memory_max_mib(workers: Json) -> int:
    return next((int(e["value"]) for e in workers["container"].get("env", []) if e["name"] == MEMORY_MAX), 0)


def fits(node: Json, workers: Json) -> bool:
    """Whether a worker's pod may go to a node, by the node's labels and taints."""
    labels, spec = node["metadata"].get("labels", {}), node.get("spec", {})
    wanted = workers.get("nodeSelector", {}).items()
    barred = (t for t in spec.get("taints", []) if t["effect"] != "PreferNoSchedule")
    return wanted <= labels.items() and all(
        any(_tolerates(own, taint) for own in workers.get("tolerations", [])) for taint in barred
    )


def _tolerates(own: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    same = own.get("operator") == "Exists" or own.get("value", "") == taint.get("value", "")
    return own["key"] == taint["key"] and same and own.get("effect") in (None, taint["effect"])


def largest_mib(nodes: Sequence[Json]) -> int:
    """What the largest of some nodes can give to pods."""
    return max((_bytes(n["status"]["allocatable"]["memory"]) // MIB for n in nodes), default=0)


def _bytes(quantity: str) -> int:
    unit = next((u for u in UNITS if quantity.endswith(u)), "")
    return int(float(quantity.removesuffix(unit)) * UNITS.get(unit, 1))
