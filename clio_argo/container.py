"""What a container runs: one part of one step, with everything that a workflow reads of it left in files."""

import argparse
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from clio_argo.errors import BrokenInvariant, ClioError, UserError, short_of_memory
from clio_argo.model.layout import REPORT
from clio_argo.model.step import StepResult
from clio_argo.pipeline import Pipeline, Step
from clio_argo.plugins import VARIABLE, load_pipeline
from clio_argo.runner import KILLED, NO_MEMORY, run_step
from clio_argo.store.documents import Store

TERMINATED = 143
# Argo keeps at most 256 kB of a parameter, and runs of 3,000 tasks are safe; half of them each come from plan and solve
PARAMETER_BYTES, TASKS = 256_000, 1500
# The message of every failed try is kept in the workflow object, which may have 1 MiB. Kubernetes reads 4,096 bytes.
MESSAGE_CHARACTERS = 1000
PICTURE = re.compile(r'"(\w[\w./-]*\.(?:png|jpg))"')


def main() -> None:
    """`clio-argo-step NAME --run URL --part N`. Outputs go to standard output as JSON, and to files in CLIO_OUTPUTS."""
    sys.exit(guarded(_run))


def _run() -> None:
    end_when_told()
    pipeline = load_pipeline(os.environ.get(VARIABLE), VARIABLE)
    parser = argparse.ArgumentParser(prog="clio-argo-step", description=main.__doc__)
    parser.add_argument("name", choices=[s.name for s in pipeline.all_steps if s.entry])
    parser.add_argument("--run", required=True, help="URL of the run's root")
    parser.add_argument("--part", type=int, default=0)
    chosen = parser.parse_args()
    run_and_tell(pipeline, pipeline[chosen.name], chosen.run, chosen.part)


def run_and_tell(pipeline: Pipeline, step: Step, url: str, part: int) -> None:
    """Run a part; its outputs become files, and its report a folder of them, also when a gate stopped it."""
    folder = os.environ.get("CLIO_OUTPUTS")
    try:
        result = run_step(step, url, part, pipeline)
    finally:
        if folder and step.report:
            save_report(Store(url), Path(folder) / "report")
    print(result.model_dump_json())
    if folder:
        save_outputs(result, Path(folder))


def save_outputs(result: StepResult, folder: Path) -> None:
    """One file per output.

    Raises:
        UserError: more parts than a workflow can hold.
        BrokenInvariant: an output is longer than Argo reads.
    """
    tasks = sum(map(len, result.parts.values()))
    if tasks > TASKS:
        raise UserError(f"the next stages would have {tasks} parts, at most {TASKS} are safe: set a smaller max_parts")
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in result.outputs.items():
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        if len(text.encode()) > PARAMETER_BYTES:
            raise BrokenInvariant(f"output {name} has {len(text.encode())} bytes, a workflow reads {PARAMETER_BYTES}")
        (folder / name).write_text(text)


def save_report(store: Store, folder: Path) -> None:
    """report.html as index.html with the pictures that it shows, if there is one."""
    page = store.read(REPORT)
    if page is None:
        return
    pictures = {n: store.read(n) for n in set(PICTURE.findall(page.decode()))}
    for name, data in {**pictures, "index.html": page}.items():
        if data is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)


def end_when_told() -> None:
    """End with 143 on SIGTERM, whatever a library is busy with: a node that goes gives a pod 15 s.

    Units are recorded when their objects are written, so that nothing has to be saved. A thread does it: handlers
    in Python run only when a library's function returns.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(tell)

    def wait() -> None:
        while os.read(told, 1) != bytes([signal.SIGTERM]):
            pass
        leave_message("stopped by SIGTERM; the next try goes on with the unit that was under way")
        sys.stdout.flush()
        os._exit(TERMINATED)

    threading.Thread(target=wait, daemon=True).start()


def guarded(action: Callable[[], object]) -> int:
    """Exit code of an action; an error that a person can mend is shown without a stack trace."""
    try:
        action()
    except ClioError as error:
        leave_message(f"error: {error}")
        return error.exit_code
    except Exception as error:  # noqa: BLE001, the last resort of a process
        if short_of_memory(error):
            leave_message(f"error: {NO_MEMORY}\n  ({error})")
            return KILLED
        traceback.print_exc()
        leave_message(f"{type(error).__name__}: {error}")
        return 1
    return 0


def leave_message(text: str) -> None:
    """Tell people why this ends: in the log, as the node's message in Argo, and as an output."""
    print(text, file=sys.stderr, flush=True)
    short = text if len(text) <= MESSAGE_CHARACTERS else text[: MESSAGE_CHARACTERS - 24] + " ... (more in the log)"
    log = Path(os.environ.get("CLIO_TERMINATION_LOG", "/dev/termination-log"))
    with suppress(OSError):
        if log.exists():
            log.write_text(short)
    if folder := os.environ.get("CLIO_OUTPUTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "error").write_text(short)
