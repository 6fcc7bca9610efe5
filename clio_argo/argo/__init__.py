"""The pipeline on Argo Workflows: what is emitted, and how it is talked to. Only here are hera and kubernetes used."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clio_argo.argo.settings import ClusterSettings
    from clio_argo.argo.stage import volume_stage
    from clio_argo.argo.workflow import finalize, workflow_template

_HOMES = {
    "ClusterSettings": "settings", "finalize": "workflow", "volume_stage": "stage", "workflow_template": "workflow",
}  # fmt: skip
__all__ = ["ClusterSettings", "finalize", "volume_stage", "workflow_template"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562): hera takes 1.7 s, and a client needs none of it."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'clio_argo.argo' has no attribute {name!r}")
    return getattr(importlib.import_module(f"clio_argo.argo.{_HOMES[name]}"), name)
