"""The entry point of containers: runs one part of one step, and leaves its results in files that a workflow reads."""

import argparse
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from clio_argo.errors import TERMINATED, BrokenInvariant, ClioError, UserError, short_of_memory
from clio_argo.model.base import few
from clio_argo.model.layout import CONFIG, REPORT, part_items_name
from clio_argo.model.step import PartItems, StepResult
from clio_argo.pipeline import Pipeline, Step
from clio_argo.plugins import VARIABLE, load_pipeline
from clio_argo.runner import KILLED, NO_MEMORY, has_run, run_steps
from clio_argo.store.documents import Store
from clio_argo.workspace.logs import log_lost
from clio_argo.workspace.run import open_run

# the descriptor, whatever Python has in its place
STDERR = 2
# folders that the pods of an installation mount, with colons between; without it this is no pod
MOUNTED = "CLIO_MOUNTED"
# Argo keeps at most 256 kB of a parameter. Workflows of 3,000 tasks are safe, and plan and solve each add half of them.
PARAMETER_BYTES, TASKS = 256_000, 1500
# The workflow object, which may have 1 MiB, keeps the message of every failed try. Kubernetes reads 4,096 bytes.
MESSAGE_CHARACTERS = 1000
PICTURE = re.compile(r'src="(\w[\w./-]*\.(?:png|jpg))"')


def main() -> None:
    """Run `clio-argo-step NAME --run URL --part PART`. Prints outputs as JSON, and writes files in CLIO_OUTPUTS."""
    sys.exit(exit_code(_run))


def _run() -> None:
    exit_on_sigterm()
    pipeline = load_pipeline(os.environ.get(VARIABLE), VARIABLE)
    parser = argparse.ArgumentParser(prog="clio-argo-step", description=main.__doc__)
    steps = {s.name: s for s in (*pipeline.all_steps, *pipeline.joined_steps) if s.entry or s.steps}
    parser.add_argument("name", choices=steps)
    parser.add_argument("--run", required=True, help="URL of the run's root")
    parser.add_argument("--part", default="0", help="number of the part, or what it covers, e.g. 3518-3519")
    chosen = parser.parse_args()
    step = steps[chosen.name]
    if pipeline.begins_with(step):
        refuse_unreachable(chosen.run, os.environ)
    run_part(pipeline, step, chosen.run, part_number(step, chosen.run, chosen.part))


def refuse_unreachable(run: str, environment: Mapping[str, str]) -> None:
    """Refuse places that no pod reaches, by the names of the form that a person filled in.

    Raises:
        UserError: names them all, with what is wrong with the request.
    """
    if (mounted := environment.get(MOUNTED)) is None:
        return
    # the image of steps that read no request has no YAML
    from clio_argo.model.parse_request import REFUSED, from_environment
    from clio_argo.store.reach import places_of, unreachable

    folders = mounted.split(":") if mounted else []
    problems = unreachable({"run": run}, folders)
    try:
        if request := from_environment(environment):
            problems += unreachable(places_of(request), folders)
    except UserError as error:
        raise UserError("\n".join([str(error), *(f"  - {p}" for p in problems)])) from error
    if problems:
        raise UserError.all(REFUSED, problems)


def part_number(step: Step, url: str, item: str) -> int:
    """The number of the part that a workflow names by an item of its list.

    Raises:
        UserError: the run has no such part.
    """
    if item.isdecimal():
        return int(item)
    maker, _, output = (step.fan_out or "").partition(".")
    known = open_run(url).document(PartItems, part_items_name(maker)).items[output] if maker else ()
    if item not in known:
        there = f"it has {few(known)}" if known else "it runs once, as part 0"
        raise UserError(f"{step.name}: this run has no part {item} ({there}); if it was planned anew, submit it again")
    return known.index(item)


def run_part(pipeline: Pipeline, step: Step, url: str, part: int) -> None:
    """Run a part, or all of a joined step; write its outputs to files and its report to a folder."""
    folder = os.environ.get("CLIO_OUTPUTS")
    # the first step may still find that the root is somebody else's
    first = pipeline.begins_with(step)
    if pipeline.may_write(step) and not first:
        note_lost(url, step, part)
    try:
        for one, result in run_steps(step, url, part, pipeline):
            save_items(one, url, result)
            print(result.model_dump_json(), flush=True)
            if folder:
                save_outputs(result, Path(folder))
    finally:
        # also when a gate stops the run: the report shows why
        if folder and step.report:
            save_report(Store(url), Path(folder) / "report")
    if first:
        note_lost(url, step, part)
    if folder and first:
        save_request(Store(url), Path(folder) / "request")


def note_lost(url: str, step: Step, part: int) -> None:
    """Log that the try before this one was lost, and why, if it was and there is a run."""
    if (reason := os.environ.get("CLIO_LOST")) and has_run(store := open_run(url), step):
        log_lost(store, step.name, part, reason)


def save_items(step: Step, url: str, result: StepResult) -> None:
    """Write the items of later stages' parts, by which `part_number` finds a part."""
    if result.parts:
        open_run(url).write(part_items_name(step.name), result.items.to_bytes())


def save_outputs(result: StepResult, folder: Path) -> None:
    """Write one file per output.

    Raises:
        UserError: there are more parts than a workflow can hold.
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


def save_request(store: Store, folder: Path) -> None:
    """Write the request as the run keeps it, if there is a run: no slice of a stack that is followed may have come."""
    if (request := store.read(CONFIG)) is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_bytes(request)


def save_report(store: Store, folder: Path) -> None:
    """Write the report, if there is one, as index.html with the pictures that it shows."""
    page = store.read(REPORT)
    if page is None:
        return
    pictures = {n: store.read(n) for n in set(PICTURE.findall(page.decode()))}
    for name, data in {**pictures, "index.html": page}.items():
        if data is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)


def exit_on_sigterm() -> None:
    """Exit with 143 on SIGTERM, even while a library is busy."""
    # A node that goes gives a pod 15 s. A thread waits for the signal, since Python runs handlers only when a
    # library's function returns. Nothing has to be saved: units are recorded when their objects are written.
    reader, writer = os.pipe()
    # while a slice is decoded, standard error is heard for warnings of the decoder
    usual = os.dup(STDERR)
    os.set_blocking(writer, False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(writer)

    def wait() -> None:
        while os.read(reader, 1) != bytes([signal.SIGTERM]):
            pass
        os.dup2(usual, STDERR)
        leave_message("stopped by SIGTERM; the next try continues with the interrupted unit")
        sys.stdout.flush()
        os._exit(TERMINATED)

    threading.Thread(target=wait, daemon=True).start()


def exit_code(action: Callable[[], object]) -> int:
    """Run an action; return its exit code. Errors that users can fix are shown without a stack trace."""
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
    """Report why the process ends: in the log, as the message of the node in Argo, and as an output."""
    print(text, file=sys.stderr, flush=True)
    short = text if len(text) <= MESSAGE_CHARACTERS else text[: MESSAGE_CHARACTERS - 24] + " ... (more in the log)"
    log = Path(os.environ.get("CLIO_TERMINATION_LOG", "/dev/termination-log"))
    with suppress(OSError):
        if log.exists():
            log.write_text(short)
    if folder := os.environ.get("CLIO_OUTPUTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "error").write_text(short)
