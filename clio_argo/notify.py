"""Notifies people of how a run ended, by mail and by a webhook, whichever is configured."""

import json
import os
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.message import EmailMessage
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from clio_argo.errors import ClioError, TransientError, UserError
from clio_argo.model.alignment import Transforms
from clio_argo.model.base import Value
from clio_argo.model.layout import COMPLETE, CONFIG, TRANSFORMS
from clio_argo.model.parse_request import from_environment
from clio_argo.model.request import Request
from clio_argo.model.run import Completion
from clio_argo.model.step import StepResult
from clio_argo.workspace.run import Run

TIMEOUT_S = 30  # long for a server that answers at all; a step that waited for ever would keep the workflow running
MOST_FLAGGED = 20  # a screen of lines; the report has all
MOST_MESSAGES = 5  # pods of one step fail for the same reason, so that more would repeat it
# Argo writes for a pod that failed: `main: Error (exit code 2): MESSAGE`
POD_PREFIX = "main: "


class Outcome(Value):
    """How a run ended; the JSON that a webhook receives."""

    id: str
    run: str
    outcome: str
    flagged: tuple[str, ...] = ()
    suspect: int = 0
    link: str | None = None
    messages: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The outcome in words. Slack and similar services show the field of this name."""
        lines = [f"{self.id}: {self.outcome}", f"run: {self.run}", *self.messages]
        if self.flagged:
            more = f"and {len(self.flagged) - MOST_FLAGGED} more" if len(self.flagged) > MOST_FLAGGED else ""
            lines.append(f"{len(self.flagged)} slices are flagged:")
            lines += [f"  {s}" for s in self.flagged[:MOST_FLAGGED]] + ([more] if more else [])
        if self.suspect:
            lines.append(f"{self.suspect} slices are suspect; the report shows them")
        return "\n".join([*lines, *([f"look at it: {self.link}"] if self.link else [])])


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Send the notifications that CLIO_SMTP_URL, CLIO_MAIL_FROM and CLIO_WEBHOOK_URL configure.

    Raises:
        TransientError: a mail server or webhook does not answer. The next try sends all notifications again.
        UserError: a URL cannot be used, or the server refused for good.
    """
    # a run that failed in `plan` has left no request behind
    request = run.store.find_document(Request, CONFIG) or from_environment(os.environ)
    ending = outcome(run, request, os.environ)
    sent = []
    server, to = os.environ.get("CLIO_SMTP_URL"), request.notify.email if request else ()
    if server and to:
        send_mail(server, os.environ.get("CLIO_MAIL_FROM", "clio-argo@localhost"), to, ending)
        sent.append("mail")
    if url := os.environ.get("CLIO_WEBHOOK_URL"):
        post(url, {**ending.model_dump(mode="json"), "text": ending.text})
        sent.append("webhook")
    return StepResult(note=f"sent: {', '.join(sent)}" if sent else "")


def outcome(run: Run, request: Request | None, environment: Mapping[str, str]) -> Outcome:
    """The outcome as far as the run's documents and Argo's variables show it, whichever step was the last.

    environment: CLIO_STATUS and CLIO_FAILURES, which a workflow sets.
    """
    done = run.store.find_document(Completion, COMPLETE)
    placed = run.store.find_document(Transforms, TRANSFORMS)
    status = environment.get("CLIO_STATUS", "")
    # complete.json may be that of an earlier workflow on the same root
    finished = done is not None and status in ("", "Succeeded")
    changed = [line] if done and finished and (line := done.source_changes.line()) else []
    return Outcome(
        id=request.id if request else "unknown",
        run=run.store.url,
        outcome=done.status if done and finished else _describe_end(status),
        flagged=tuple(f"z {s.z}: {s.verdict}, {s.reason}" for s in placed.flagged) if placed else (),
        suspect=len(placed.suspect) if placed else 0,
        link=done.link if done and finished else None,
        messages=(*changed, *failures(environment.get("CLIO_FAILURES", "")))[:MOST_MESSAGES],
    )


def _describe_end(status: str) -> str:
    # for Argo a workflow that a person rejected has succeeded
    return "ended before the volume was made" if status == "Succeeded" else status.lower() or "not complete"


def failures(text: str) -> list[str]:
    """Messages of the pods in Argo's list of failures: JSON in a JSON string, null without any."""
    try:
        nodes = json.loads(text)
        nodes = json.loads(nodes) if isinstance(nodes, str) else nodes
    except ValueError:
        return []
    # the list also holds the groups that the pods belong to, whose messages say nothing
    pods = [f for f in nodes or [] if str(f.get("message", "")).startswith(POD_PREFIX)]
    return [f"{f.get('displayName', '')}: {f['message'].removeprefix(POD_PREFIX)}" for f in pods]


def send_mail(server: str, sender: str, to: Sequence[str], ending: Outcome) -> None:
    """Send one mail to all through smtp://USER:PASSWORD@HOST:PORT (with STARTTLS where offered) or smtps://.

    Raises:
        TransientError: the server does not answer, or asks to wait.
        UserError: the URL cannot be used, or the server refuses.
    """
    url, port = _parse_server(server)
    message = EmailMessage()
    message["From"], message["To"] = sender, ", ".join(to)
    message["Subject"] = f"clio-argo: {ending.id} {ending.outcome}".replace("\n", " ")[:200]
    message.set_content(ending.text)
    try:
        with _connect(url.scheme, url.hostname or "", port) as smtp:
            if url.username:
                smtp.login(unquote(url.username), unquote(url.password or ""))
            smtp.send_message(message)
    except smtplib.SMTPResponseException as error:
        raise _refusal("the mail server", error.smtp_code >= 500, error.smtp_error) from error
    except smtplib.SMTPRecipientsRefused as error:
        raise UserError(f"the mail server takes no mail for {', '.join(error.recipients)}") from error
    except UnicodeError as error:
        raise UserError("CLIO_SMTP_URL: the mail server takes ASCII names and passwords only") from error
    except (OSError, smtplib.SMTPException) as error:
        raise TransientError(f"the mail server {url.hostname} does not answer: {error}") from error


def _parse_server(server: str) -> tuple[SplitResult, int | None]:
    """Parts of the URL, and its port."""
    # no error shows the URL, which holds a password
    with suppress(ValueError):
        url = urlsplit(server)
        if url.scheme in ("smtp", "smtps") and url.hostname:
            return url, url.port
    raise UserError(
        "CLIO_SMTP_URL: expected smtp://USER:PASSWORD@HOST:PORT or smtps://, with %2F for a / and %40 for an @ in it"
    )


def _connect(scheme: str, host: str, port: int | None) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port or 465, timeout=TIMEOUT_S, context=context)
    smtp = smtplib.SMTP(host, port or 587, timeout=TIMEOUT_S)
    smtp.ehlo()
    if smtp.has_extn("starttls"):
        smtp.starttls(context=context)
    return smtp


def post(url: str, body: Mapping[str, Any]) -> None:
    """POST `body` as JSON. Raises `TransientError` or `UserError`, as `send_mail` does."""
    if not url.startswith(("http://", "https://")):
        raise UserError("CLIO_WEBHOOK_URL: expected http:// or https://")
    headers = {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        final = 400 <= error.code < 500 and error.code != 429
        raise _refusal("the webhook", final, f"{error.code} {error.reason}") from error
    except OSError as error:
        raise TransientError(f"the webhook does not answer: {error}") from error
    # messages of these show the URL, which may hold a token
    except (ValueError, HTTPException) as error:
        raise UserError(f"CLIO_WEBHOOK_URL: cannot be used ({type(error).__name__})") from None


def _refusal(who: str, final: bool, why: object) -> ClioError:
    text = why.decode(errors="replace") if isinstance(why, bytes) else why
    return UserError(f"{who} refuses: {text}") if final else TransientError(f"{who} asks to wait: {text}")
