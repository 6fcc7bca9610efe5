"""What a step may ask of the nodes of a cluster, and of its pod there."""

from dataclasses import dataclass


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
