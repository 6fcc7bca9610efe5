"""The page of the project at its forge, by what this repository was cloned from."""

import re

# https://HOST/PATH, ssh://git@HOST:22/PATH.git and git@HOST:PATH.git; a name without a dot is known to one network only
REMOTE = re.compile(
    r"(?:(?P<scheme>https?|ssh)://)?(?:[^@/\s]+@)?(?P<host>[\w-]+(?:\.[\w-]+)+)(?P<port>:\d+(?=/))?"
    r"(?(scheme)/|:)(?P<path>[\w.~-]+(?:/[\w.~-]+)*)"
)


def page(remote: str) -> str | None:
    """An address for people without what logs in; None: the remote is a folder, or of one network."""
    if (found := REMOTE.fullmatch(remote.removesuffix("/").removesuffix(".git"))) is None:
        return None
    # the port of ssh serves no pages
    web = found["scheme"] in {"http", "https"}
    scheme, port = (found["scheme"], found["port"] or "") if web else ("https", "")
    return f"{scheme}://{found['host']}{port}/{found['path']}"
