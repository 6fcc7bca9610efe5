"""Datasets of a clio-store: read, merged with what a run says, written one at a time, and read again."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from ssl import SSLCertVerificationError
from typing import Any
from urllib.parse import quote, urlsplit

from clio_argo.errors import ClioError, StoreError, TransientError, UserError, first_words, printable
from clio_argo.model.base import UNREADABLE
from clio_argo.model.layout import CHANNELS
from clio_argo.model.registration import DATASET, is_loopback, store_address
from clio_argo.store.http import REDIRECTED, Answer, ask

TOKEN = "CLIO_STORE_TOKEN"
# characters of what a server says, of which the first tell what is wrong
LONGEST_DETAIL = 300
Record = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """How a run is shown. Points and sizes are in x, y, z order.

    name: of the run. source: URL of its neuroglancer volume, without a format in front. layers: as a link to
    neuroglancer has them, the main one first; names of channels follow that of the run. position: voxel of the finest
    scale.
    """

    name: str
    source: str
    layers: Sequence[Record]
    resolution_nm: tuple[float, float, float]
    position: tuple[int, int, int]
    description: str


@dataclass(frozen=True)
class Registered:
    """What became of a dataset: its record, and the names of the fields that are not as they were before."""

    url: str
    dataset: str
    record: Record
    changed: Sequence[str]
    known: bool

    @property
    def text(self) -> str:
        """A line for people."""
        what = f"{', '.join(self.changed)} changed" if self.changed else "nothing had to be changed"
        return f"dataset {self.dataset} in {self.url}: {what if self.known else 'new'}"


@dataclass(frozen=True)
class ClioStore:
    """A clio-store as the owner of a token sees it. No message shows the token."""

    url: str
    token: str = field(repr=False)

    @classmethod
    def at(cls, url: str, token: str) -> "ClioStore":
        """The store with this base URL. Raises `UserError` if URL or token cannot be used."""
        try:
            address = store_address(url)
        except ValueError as error:
            raise UserError(f"--store: {error}") from None
        if not token:
            raise UserError(f"no token: set {TOKEN}; POST {address}/server/token gives one that lives long")
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise UserError(f"the token holds a character that no token has: look at {TOKEN} or the file that holds it")
        return cls(address, token)

    def find(self, dataset: str) -> Record | None:
        """The record of a dataset; None if there is none. Raises `StoreError` if this account may not read it."""
        answer = self._ask("GET", f"datasets/{quote(dataset, safe='')}")
        if answer.status == 400:
            return None
        self._refuse(answer)
        record = self._parsed(answer)
        if isinstance(record, dict):
            return record
        raise StoreError(
            f"{self.url}: shows nothing of dataset {dataset}, which this account may not read (an admin needs a role "
            "that reads, too). What is written replaces the whole record, so that nothing is written unread"
        )

    def write(self, dataset: str, record: Record, known: bool) -> None:
        """Replace the record of a dataset. Raises `StoreError` if the store or this account's rights forbid it."""
        answer = self._ask("POST", "datasets", {dataset: record})
        if answer.status == 400 and not known:
            raise StoreError(
                f"{self.url} has no dataset {dataset}, and takes only those that it knows (400: "
                f"{self._detail(answer)}). An admin makes it known once, then register again:\n"
                f"  - create the Firestore document clio_datasets/{dataset} with a description\n"
                f"  - POST {self.url}/server/refresh-caches"
            )
        if answer.status in (401, 403):
            raise StoreError(
                f"{self.url}: refuses to write dataset {dataset} ({answer.status}): only admins may, and this account "
                "is none; ask one to register the run"
            )
        self._refuse(answer)

    def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        # a proxy of this machine would get the token of what is unencrypted
        proxies = not is_loopback(urlsplit(self.url).hostname or "")
        try:
            return ask(method, f"{self.url}/{path}", body, headers, proxies)
        except OSError as error:
            invalid = isinstance(getattr(error, "reason", None), SSLCertVerificationError)
            kind = StoreError if invalid else TransientError
            raise kind(f"{self.url}: does not answer: {error}") from error
        except (ValueError, HTTPException) as error:
            raise UserError(f"{self.url}: cannot be used ({type(error).__name__})") from None

    def _refuse(self, answer: Answer) -> None:
        """Raise what an answer that is no success means."""
        if answer.status == 200:
            return
        known = {
            401: f"refuses the token (401); POST {self.url}/server/token gives one that lives long",
            404: "there is no clio-store (404); give the URL that comes before /v2",
            422: f"takes no such record (422: {self._detail(answer)})",
        }
        other = f"answers {answer.status}: {self._detail(answer)}"
        text = f"{self.url}: {known.get(answer.status) or (REDIRECTED if answer.status < 400 else other)}"
        kind: type[ClioError] = TransientError if answer.passing else StoreError
        raise kind(text)

    def _detail(self, answer: Answer) -> str:
        """What the server says is wrong, without the token, which it may repeat."""
        try:
            said = json.loads(answer.body)["detail"]
        except UNREADABLE:
            said = answer.body.decode(errors="replace")
        text = said if isinstance(said, str) else json.dumps(said)
        return first_words(printable(text.replace(self.token, "(token)")), LONGEST_DETAIL) or answer.reason

    def _parsed(self, answer: Answer) -> Any:
        try:
            return json.loads(answer.body)
        except UNREADABLE:
            raise StoreError(f"{self.url}: answers with no JSON: is it a clio-store?") from None


def register(store: ClioStore, dataset: str, shown: Shown, public: bool, dry_run: bool = False) -> Registered:
    """Make a dataset show a run; all else that its record says is kept.

    public: let everybody see it; False leaves that as it is.
    dry_run: write nothing.

    Raises:
        StoreError: the store refuses, or holds something else afterwards than was written.
        TransientError: it does not answer.
        UserError: its URL cannot be used.
    """
    if not re.fullmatch(DATASET, dataset):
        raise UserError(f"dataset {dataset!r}: may hold no blank and no slash, at most 200 characters; give --dataset")
    before = store.find(dataset)
    try:
        record = merged(before or {}, shown, public)
    except UNREADABLE as error:
        raise StoreError(
            f"{store.url}: the record of dataset {dataset} is no dataset ({type(error).__name__})"
        ) from None
    changed = differing(record, before or {})
    if changed and not dry_run:
        store.write(dataset, record, known=before is not None)
        if lost := differing(record, store.find(dataset) or {}):
            raise StoreError(f"{store.url}: dataset {dataset} was written, and holds something else: {', '.join(lost)}")
    return Registered(store.url, dataset, record, changed, known=before is not None)


def merged(before: Mapping[str, Any], shown: Shown, public: bool) -> Record:
    """The record of a dataset that shows a run.

    Raises:
        Whatever a record that is none leads to: one of `UNREADABLE`.
    """
    # the store keeps fields that are set; an empty `layers` would hide those of `neuroglancer`
    kept = {name: value for name, value in before.items() if value is not None and not (name == "layers" and not value)}
    layers = _layers(shown, kept.get("mainLayer"))
    name = layers[0]["name"]
    record = {
        "title": name,
        "description": shown.description,
        "public": False,
        **kept,
        "mainLayer": name,
        "location": shown.source,
        "dimensions": {axis: [nm / 1e9, "m"] for axis, nm in zip("xyz", shown.resolution_nm, strict=True)},
        "position": list(shown.position),
    }
    # the site reads `layers` if there are some
    home = record if "layers" in kept else {**kept.get("neuroglancer", {})}
    home["layers"] = _with(home.get("layers") or [], layers, str(kept.get("location")))
    if home is not record:
        record["neuroglancer"] = home
    return {**record, "public": True} if public else record


def _layers(shown: Shown, main: str | None) -> list[Record]:
    """The layers of a run, with sources as the site reads them, of which the first keeps the name `main`.

    Others are named as if the run had the name that is left of `main` without its channel.
    """
    first, *others = (layer["name"].removeprefix(shown.name) for layer in shown.layers)
    main = main or shown.name + first
    names = (main, *(main.removesuffix(first) + other for other in others))
    return [
        {**layer, "name": name, "source": {"url": layer["source"]}}
        for layer, name in zip(shown.layers, names, strict=True)
    ]


def _with(layers: Sequence[Mapping[str, Any]], own: Sequence[Record], before: str) -> list[Record]:
    """Layers with those of a run at the places of their names, or as the last.

    before: the volume that the dataset showed, of which no channel stays that the run does not have.
    """
    mine = {layer["name"]: layer for layer in own}
    channel = f"{before}/{CHANNELS}/"
    stays = [old for old in layers if old["name"] in mine or channel not in json.dumps(old.get("source"))]
    names = {old["name"] for old in stays}
    return [{**old, **mine.get(old["name"], {})} for old in stays] + [new for new in own if new["name"] not in names]


def differing(record: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Fields of a record that another one has not, or otherwise."""
    return [name for name, value in record.items() if other.get(name) != value]
