"""Why pods do not start, in the words of Kubernetes."""

from collections.abc import Iterable, Iterator

from clio_argo.argo.nodes import Json

# every pod passes through these
USUAL = frozenset({"ContainerCreating", "PodInitializing"})
# the pod's own status tells it for as long as it is true
UNPLACED = "FailedScheduling"
WARNINGS = "type=Warning,involvedObject.kind=Pod"


def number(pod: str) -> str:
    """What stands at the end of the names of a pod and of its node."""
    return pod.rpartition("-")[2]


def reasons(pods: Iterable[Json], events: Iterable[Json]) -> dict[str, str]:
    """Why pods do not start, by the number at the end of their names.

    Args:
        pods: those that wait.
        events: warnings about pods, of any age; a pod's newest one counts.
    """
    warned = warnings(events)
    found = {number(p["metadata"]["name"]): next(_status(p), "") for p in pods}
    return {pod: reason for pod, own in found.items() if (reason := own or warned.get(pod, ""))}


def warnings(events: Iterable[Json]) -> dict[str, str]:
    """The newest warning about each pod, by the number at the end of the pod's name."""
    by_age = sorted(events, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))
    # others, such as MissingClusterDNS, keep no pod from starting
    failed = (e for e in by_age if str(e.get("reason")).startswith("Failed") and e["reason"] != UNPLACED)
    return {number(e["involvedObject"]["name"]): _words(e, e["involvedObject"]) for e in failed}


def _status(pod: Json) -> Iterator[str]:
    """What the pod's own status tells, the clearest first."""
    status, meta = pod.get("status") or {}, pod["metadata"]
    for container in (*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting and waiting.get("reason") not in USUAL:
            yield _words(waiting, meta)
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            yield _words(condition, meta)


def _words(state: Json, where: Json) -> str:
    """A reason and its message; Kubernetes names what is not found without its namespace."""
    words = ": ".join(filter(None, (state.get("reason"), state.get("message"))))
    namespace = where.get("namespace") if words.endswith(" not found") else None
    return f"{words} in namespace {namespace}" if namespace else words
