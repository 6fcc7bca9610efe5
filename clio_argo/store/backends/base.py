"""What the rest of the program asks of a kind of store."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import IO, Any, Literal

from clio_argo.model.base import counted

Verb = Literal["read", "list", "write", "delete", "administer"]
# four numbers with dots, which neither Google nor Amazon accepts as a bucket name
ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
# a part of a bucket name is a DNS label: https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4
SHORTEST_NAME, LONGEST_PART = 3, 63


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as its store lists it; `stamp` changes when it is written again.

    crc32c: 8 hexadecimal digits; None where listings carry none (S3, folders).
    written_s: when it was written, in seconds since 1970; 0 if the listing does not tell.
    """

    name: str
    size: int
    crc32c: str | None = None
    stamp: str = ""
    written_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One kind of store: how it is opened and listed, and the words of its errors.

    A URL is `SCHEME://BUCKET/PATH`. `path` below is '' or ends in a slash; a local path begins with one as well.

    scheme: what its URLs begin with.
    local: whether its objects are files of this machine; its URLs name no bucket.
    spec: (bucket, path) -> tensorstore's KvStore spec of the folder, retries included.
    limits: resources of a tensorstore context that limit the requests under way.
    objects: (bucket, prefix, flat) -> objects whose whole names begin with `prefix`, in the order of their names;
        flat leaves out those with another slash behind the prefix. Raises the client's own errors.
    is_of: (generation, stamp) -> whether tensorstore's generation of an object is surely that of `Listed.stamp`.
    bucket_problems: why no bucket can have a name; empty if one can.
    permissions: what a refused account lacks, for each verb.
    grant, log_in: what a person does about a missing permission, and about missing credentials.
    make: the command that makes a bucket, in parentheses, if there is one.
    clients: top-level packages whose exceptions are errors of the store.
    status: the HTTP status that an exception of these packages carries.
    is_passing: (HTTP status, words) -> whether an error passes that otherwise does not.
    web_address: (bucket, name) -> URL under which a viewer in a browser reads the object; None without such URLs.
    location: where a bucket is; None if the store does not tell this account.
    writing: (bucket, name, conditional) -> what an object is written in, where the store does not do all by itself.
    leftovers: (bucket, path, remove) -> names of what killed writers left below the path, removed if that is asked.
    upload: (bucket, name, file, CRC32C, replaced) -> whether it was written: an object with the bytes of a file on the
        condition that there is none, or still the one that is `replaced`. None: files are not uploaded to such a store.
    crc32c: (bucket, name) -> CRC32C that the store keeps of an object where listings carry none; None if it has none.
    largest: bytes of the largest file that is uploaded; 0: none is.
    """

    scheme: str
    spec: Callable[[str, str], dict[str, Any]]
    objects: Callable[[str, str, bool], Iterator[Listed]]
    limits: Mapping[str, Any] = field(default_factory=dict)
    local: bool = False
    is_of: Callable[[bytes, str], bool] = lambda *_: False
    bucket_problems: Callable[[str], list[str]] = lambda _: []
    permissions: Mapping[Verb, str] = field(default_factory=dict)
    grant: str = "grant it to the account in use"
    log_in: str = "log in to the store"
    make: str = ""
    clients: tuple[str, ...] = ()
    status: Callable[[Exception], int | None] = lambda _: None
    is_passing: Callable[[int | None, str], bool] = lambda *_: False
    web_address: Callable[[str, str], str | None] = lambda *_: None
    location: Callable[[str], str | None] = lambda _: None
    writing: Callable[[str, str, bool], AbstractContextManager[None]] = lambda *_: nullcontext()
    leftovers: Callable[[str, str, bool], list[str]] = lambda *_: []
    upload: Callable[[str, str, IO[bytes], str, Listed | None], bool] = lambda *_: False
    crc32c: Callable[[str, str], str | None] = lambda *_: None
    largest: int = 0


def name_problems(name: str, characters: str, words: str, longest: int) -> list[str]:
    """Why a bucket cannot have a name, by the rules that Google and Amazon share.

    characters: regular expression of the whole name; words: the same in words; longest: number of characters.
    """
    bad_parts = ".." in name or any(len(part) > LONGEST_PART for part in name.split("."))
    problems = {
        f"has {counted(len(name), 'character')}, {SHORTEST_NAME} to {longest} are allowed": not SHORTEST_NAME
        <= len(name)
        <= longest,
        f"may hold {words}, and begins and ends with a letter or digit": not re.fullmatch(characters, name),
        f"has a part between dots that is empty or longer than {LONGEST_PART} characters": bad_parts,
        "is an internet address": ADDRESS.fullmatch(name),
    }
    return [problem for problem, applies in problems.items() if applies]
