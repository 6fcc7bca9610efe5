"""A folder into which a microscope writes, and somebody who follows it, look by look."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clio_argo.follow import arrivals
from clio_argo.follow.loop import Following
from clio_argo.follow.watch import Look
from clio_argo.model.follow import FollowedSlice, FollowLog, FollowState
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from tests.stacks import NAME, Image, encoded, request

# looks follow each other at once: what must be old enough is
AT_ONCE = {"follow__every": "0.01s", "follow__incomplete_after": "0.001s", "follow__until_idle": "1w"}


class Desk:
    """A source and a run; `settings` as of `request`."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.source, self.out, self.said = folder / "source", folder / "out", list[str]()
        self.source.mkdir(parents=True, exist_ok=True)
        self.request = request(self.source, **{**AT_ONCE, **settings})
        self.sit_down()

    def sit_down(self) -> None:
        """Begin, or go on as another process."""
        self.following = Following(Store(str(self.out)).url, self.request, PIPELINE, self.said.append)

    def record(self, z: int, image: Image) -> Path:
        """The microscope writes a slice."""
        file = self.source / (NAME % z)
        file.write_bytes(encoded(image))
        return file

    def look(self) -> Look:
        """Look until all that is there is judged; what the last look found."""
        while (look := self.following.look()).more:
            pass
        return look

    @property
    def state(self) -> FollowState:
        return Store(str(self.out)).document(FollowState, "process/follow.json")

    @property
    def judged(self) -> dict[int, FollowedSlice]:
        return judged(self.out)

    @property
    def page(self) -> str:
        return (self.out / "follow.html").read_text()


def judged(run: Path | str) -> dict[int, FollowedSlice]:
    """What a run keeps of the slices, by z."""
    store = Store(str(run))
    return {s.z: s for log in store.documents(FollowLog, store.names("process/follow")) for s in log.slices}


@contextmanager
def settled(seconds: float = 0.0) -> Iterator[None]:
    """Files count as whole so long after they were written to last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrivals, "SETTLE_S", seconds)
        yield
