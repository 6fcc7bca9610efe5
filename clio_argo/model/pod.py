"""What a step may ask of the nodes of a cluster, and of its pod there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

# a label of a DNS name: it is the name of templates, tasks and pods, which Argo and Kubernetes refuse otherwise
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# amounts as Kubernetes writes them
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i)?")


@dataclass(frozen=True)
class Toleration:
    """A taint of nodes that a pod tolerates; without a value each of the key."""

    key: str
    value: str = ""
    effect: str = ""


@dataclass(frozen=True)
class Mount:
    """A volume of a pod at `path`: the claim or the secret that is named."""

    path: str
    claim: str = ""
    secret: str = ""
    read_only: bool = False


def faults(step: Any) -> Iterator[str]:
    """What of a `Step` no cluster takes, and what is text where there may be several: `after="verify"`."""
    if not NAME.fullmatch(step.name):
        yield f"{step.name!r} is no name: up to 63 of a-z, 0-9 and '-', which neither begins nor ends it"
    texts = {f.name: getattr(step, f.name) for f in fields(step) if isinstance(f.default, tuple)}
    yield from (f"{name} is a tuple: {name}=({text!r},)" for name, text in texts.items() if isinstance(text, str))
    if "." not in step.memory and not re.fullmatch("[1-9][0-9]*", step.memory):
        yield f"memory {step.memory!r}: give whole MiB, as '8192', or STEP.OUTPUT"
    if not QUANTITY.fullmatch(step.cpu):
        yield f"cpu {step.cpu!r}: give cores, as '4' or '800m'"
    yield from _faults_of_pod(step)


def _faults_of_pod(step: Any) -> Iterator[str]:
    if step.gpu < 0:
        yield f"gpu {step.gpu}: give a number of GPUs"
    yield from (f"resources: {n} {v!r} is no amount, as '20Gi'" for n, v in step.resources if not QUANTITY.fullmatch(v))
    for mount in step.volumes:
        if not mount.path.startswith("/") or bool(mount.claim) == bool(mount.secret):
            yield f"volumes: {mount.path!r}: give a path from the root, and either a claim or a secret"
