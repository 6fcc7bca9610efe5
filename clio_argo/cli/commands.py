"""How functions become commands: whole sentences in lists of commands, and groups of options as one parameter."""

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from itertools import groupby
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from clio_argo.cli.console import UNWRAPPED

PANELS = MAKE, LOOK, CLUSTER, ADMINISTER = "Make a volume", "Look at results", "Cluster", "Administration"
Function = TypeVar("Function", bound=Callable[..., None])


class Sentence:
    """What is listed with its whole first sentence; Typer would cut it after 45 characters."""

    def get_short_help_str(self, limit: int = UNWRAPPED) -> str:
        """The first sentence of the help."""
        return super().get_short_help_str(max(limit, UNWRAPPED))  # type: ignore[misc, no-any-return]


class Command(Sentence, TyperCommand):
    """A command."""


class RunCommand(Command):
    """A command on a run, which may be named as RUN, and as --run RUN or --out RUN as where it is made."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the value of --run or --out for the argument."""
        plain = (a.removeprefix("--run=").removeprefix("--out=") for a in args if a not in ("--run", "--out"))
        return super().parse_args(ctx, list(plain))


class Group(Sentence, TyperGroup):
    """Commands that help lists under the headings of their panels, on a terminal or not."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel."""
        for panel, names in groupby(self.list_commands(ctx), lambda name: panel_of(self.commands[name])):
            with formatter.section(panel):
                formatter.write_dl([(name, self.commands[name].get_short_help_str()) for name in names])


def panel_of(command: Any) -> str:
    """The heading under which help lists a command."""
    return command.rich_help_panel if isinstance(command.rich_help_panel, str) else "Commands"


def command(
    app: typer.Typer, panel: str | None = None, name: str | None = None, cls: type[Command] = Command, **more: Any
) -> Callable[[Function], Function]:
    """Add a function to the commands of an app, with the options of its dataclasses.

    panel: heading under which help lists it.
    """

    def add(function: Function) -> Function:
        app.command(name, cls=cls, rich_help_panel=panel, **more)(_with_options(function))
        return function

    return add


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    """A function with the options of its dataclasses, which are made when it is called.

    Typer reads options off a signature, and knows no dataclasses.
    """
    parameters = inspect.signature(function, eval_str=True).parameters
    makers: dict[str, Any] = {name: p.annotation for name, p in parameters.items() if is_dataclass(p.annotation)}
    options = {name: inspect.signature(maker, eval_str=True).parameters for name, maker in makers.items()}

    @wraps(function)
    def composed(**given: Any) -> None:
        made = {name: maker(**{n: given.pop(n) for n in options[name]}) for name, maker in makers.items()}
        function(**made, **given)

    flat = [o for name, p in parameters.items() for o in (options[name].values() if name in makers else (p,))]
    signature = inspect.Signature([o.replace(kind=o.KEYWORD_ONLY) for o in flat])
    composed.__signature__ = signature  # type: ignore[attr-defined]
    return composed
