"""Python code that a document, a step or an option names."""

import importlib
from typing import Any

from clio_argo.errors import UserError


def load(reference: str) -> Any:
    """What `module:name` names.

    Raises:
        UserError: it cannot be imported; the module may be somebody else's code, and raise anything.
    """
    # imported here, so that the command line and the emitted workflow need neither OpenCV nor tensorstore
    module, _, name = reference.partition(":")
    if not (module and name):
        raise UserError(f"{reference}: expected MODULE:NAME, e.g. own_steps:MINE")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise UserError(f"{reference}: {error}; install its package, or add its folder to PYTHONPATH") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"{reference}: cannot be imported: {type(error).__name__}: {error}") from error
