"""Times and memory of attempts at parts: no result depends on them."""

import time

from clio_argo.errors import StoreError
from clio_argo.model.layout import LOGS, log_name
from clio_argo.model.run import Attempt, PartLog
from clio_argo.store.documents import Store, intact

# of each part: a run that is asked for every hour must not fill its folder
LATEST = 5


def log_attempt(store: Store, attempt: Attempt) -> None:
    """Add an attempt to the log of its part, unless it found everything done."""
    name = log_name(attempt.step, attempt.part)
    before = store.intact(PartLog, name)
    if before is None or attempt.done or not attempt.skipped:
        attempts = (*(before.attempts if before else ()), attempt)[-LATEST:]
        store.write(name, PartLog(attempts=attempts).to_bytes())


def log_lost(store: Store, step: str, part: int, reason: str) -> None:
    """Add an attempt that ended before it could log itself."""
    at = time.time()
    log_attempt(
        store, Attempt(step=step, part=part, host="", started=at, wall_s=0, cpu_s=0, peak_mib=0, outcome=reason)
    )


def read_attempts(store: Store) -> tuple[list[Attempt], int]:
    """Attempts in all logs that can be read, and the number of those that cannot."""
    names = store.names(LOGS)
    try:
        contents = list(store.read_all(names))
    except StoreError:
        contents = [_readable(store, name) for name in names]
    logs = [_log(data, name) for name, data in zip(names, contents, strict=True)]
    return [a for log in logs if log for a in log.attempts], logs.count(None)


def _readable(store: Store, name: str) -> bytes | None:
    try:
        return store.read(name)
    except StoreError:
        return None


def _log(data: bytes | None, name: str) -> PartLog | None:
    # version 0.1 kept each attempt in a file of its own
    former = intact(Attempt, data, name)
    return PartLog(attempts=(former,)) if former else intact(PartLog, data, name)
