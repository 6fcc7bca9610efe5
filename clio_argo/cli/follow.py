"""`clio-argo follow`: judges slices while they are recorded."""

from dataclasses import replace
from typing import Annotated, Any

import typer
from typer import Option

from clio_argo.cli.commands import MAKE, command
from clio_argo.cli.console import literal, typed
from clio_argo.cli.new_run import place_of
from clio_argo.cli.options import Local, Out, RequestOptions

commands = typer.Typer()


@command(commands, MAKE)
def follow(
    out: Out, request: RequestOptions, local: Local,
    every: Annotated[str | None, Option(metavar="TIME", help="Time between two looks. Default: 20s.")] = None,
    until_idle: Annotated[
        str | None, Option(metavar="TIME", help="End when no slice came for so long. Default: 2h.")] = None,
    notify_on: Annotated[
        str | None, Option(metavar="KINDS", help="Of suspect, bad, missing, stalled, jump. Default: all.")] = None,
) -> None:  # fmt: skip
    """Watch a folder or bucket while slices are recorded into it, and judge each as it arrives.

    Who is named by notify.email and CLIO_SMTP_URL, or by CLIO_WEBHOOK_URL, is notified at once, with pictures. `run`
    with the same request continues from what is there. The same command again continues where it stopped.
    """
    from clio_argo.follow.loop import Following, summary
    from clio_argo.kernels import limit_threads
    from clio_argo.runner import allow_files

    given = {"every": every, "until_idle": until_idle, "notify_on": notify_on}
    settings = [*(request.settings or []), *(f"follow.{k}={v}" for k, v in given.items() if v is not None)]
    config = replace(request, settings=settings).read()
    limit_threads()
    allow_files()
    with place_of(out, config) as place, local.reporter() as progress:
        following = Following(place.root, place.request, local.graph, progress.note)
        progress.note(f"looking at {config.source} every {config.follow.every}; the page is {following.page}")
        judged = following.until_idle()
    wrong: dict[str, Any] = {str(s.z): s.wrong for s in judged if s.wrong}
    next_one = typed("follow", "run", ("--every", "--until-idle", "--notify-on"))
    ended = f"no slice came for {config.follow.until_idle}; next: {next_one}"
    local.end({"status": "followed", "slices": len(judged), "wrong": wrong},
              lambda: [literal(f"{summary(judged)}: {following.page}"), literal(ended)])  # fmt: skip
