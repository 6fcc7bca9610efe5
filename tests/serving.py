"""The viewer's server in a thread of the test."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp.web import GracefulExit

from clio_argo.model.layout import VOLUME
from clio_argo.model.volume import VolumeSpec
from clio_argo.store.documents import Store
from clio_argo.viewer.layers import Shown, layer_names
from clio_argo.viewer.objects import Folder
from clio_argo.viewer.server import serve


def shown(root: Path, volume: Path | None = None) -> Shown:
    """The local run at `root`; its viewer volume lies in ng/ unless `volume` names another folder."""
    store = Store(str(root))
    spec = store.intact(VolumeSpec, VOLUME)
    return Shown(layer_names([store.url])[0], Folder(volume or root / "ng"), root, spec=spec)


@contextmanager
def serving(*runs: Path | Shown, **options: Any) -> Iterator[str]:
    """Serves runs while the block runs; yields the URL of the page. `options` as `serve` takes them."""
    all_shown = [run if isinstance(run, Shown) else shown(run) for run in runs]
    started: Future[tuple[str, asyncio.AbstractEventLoop]] = Future()

    def ready(url: str, _: str | None) -> None:
        started.set_result((url, asyncio.get_running_loop()))

    with ThreadPoolExecutor(1) as thread:
        served = thread.submit(serve, all_shown, ready=ready, **options)
        wait([started, served], return_when=FIRST_COMPLETED)
        if served.done():
            served.result()  # raises why it could not start
        url, loop = started.result()
        try:
            yield url
        finally:
            loop.call_soon_threadsafe(_exit)
        served.result()


def served(link: str) -> tuple[str, str]:
    """The address of the client, without its session, and that of the objects of the run, of a page's URL."""
    page, _, state = link.partition("/neuroglancer/v/run/#!")
    source = json.loads(unquote(state))["layers"][0]["source"]
    return f"{page}/neuroglancer", source.removeprefix("precomputed://").removesuffix("/ng")


def _exit() -> None:
    # what aiohttp itself raises at Ctrl-C
    raise GracefulExit
