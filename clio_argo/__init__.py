"""From numbered electron-microscopy slices to a verified, aligned volume.

import clio_argo
from clio_argo import Request, plan, run

request = Request(id="fly", source="slices/", image="iso.%05d.png", resolution=8)
print(plan(request).problems)
print(run(request, "fly-volume").link)
print(clio_argo.open("fly-volume").volume()[100].read().result())
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clio_argo.clusters import ClusterRun, list_runs, submit
    from clio_argo.errors import ClioError, GateStopped, UserError
    from clio_argo.maintenance.repair import repair
    from clio_argo.maintenance.verify import verify
    from clio_argo.model.plan import Plan
    from clio_argo.model.request import Request
    from clio_argo.model.run import Completion
    from clio_argo.opened import OpenedRun
    from clio_argo.opened import open as open  # noqa: A004 - as numpy and tensorstore call it
    from clio_argo.runner import align, run
    from clio_argo.steps.plan import plan

# modules are named, not imported: `import clio_argo` must be quick
_HOMES = {
    "ClioError": "errors",
    "ClusterRun": "clusters",
    "Completion": "model.run",
    "GateStopped": "errors",
    "OpenedRun": "opened",
    "Request": "model.request",
    "Plan": "model.plan",
    "UserError": "errors",
    "align": "runner",
    "list_runs": "clusters",
    "open": "opened",
    "plan": "steps.plan",
    "repair": "maintenance.repair",
    "run": "runner",
    "submit": "clusters",
    "verify": "maintenance.verify",
}
# without `open`, which would take the place of Python's
__all__ = [
    "ClioError", "ClusterRun", "Completion", "GateStopped", "OpenedRun", "Plan", "Request", "UserError",
    "align", "list_runs", "plan", "repair", "run", "submit", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562): importing the package loads no image library."""
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        return version("clio-argo")
    # version 0.1 called the request so
    name = "Request" if name == "IngestConfig" else name
    if name not in _HOMES:
        raise AttributeError(f"module 'clio_argo' has no attribute {name!r}")
    return getattr(importlib.import_module(f"clio_argo.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """All names, public ones before their first use too."""
    return sorted({*globals(), *_HOMES, "__version__"})
