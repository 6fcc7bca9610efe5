"""Notifies people of how a run ended, by mail and by a webhook, whichever is configured."""

import json
import os
import smtplib
import ssl
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from email.message import EmailMessage
from http.client import HTTPException
from ipaddress import ip_address
from typing import Any, NamedTuple, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from clio_argo.errors import ClioError, TransientError, UserError, printable
from clio_argo.model.alignment import Transforms
from clio_argo.model.base import UNREADABLE, Document, Value, counted
from clio_argo.model.layout import COMPLETE, CONFIG, TRANSFORMS
from clio_argo.model.parse_request import from_environment
from clio_argo.model.reasons import names_cause, reason
from clio_argo.model.request import REQUEST, Request
from clio_argo.model.run import Completion
from clio_argo.model.step import StepResult
from clio_argo.store.http import REDIRECTED, TIMEOUT_S, ask
from clio_argo.workspace.run import Run

MOST_FLAGGED = 20  # a screen of lines; the report has all
MOST_MESSAGES = 5
# characters of a subject, which mail programs show in a line, and of a message that a pod may leave
LONGEST_LINE, LONGEST_MESSAGE = 200, 1000
# of CLIO_SMTP_URL; the last goes without encryption
SCHEMES = ("smtp", "smtps", PLAIN := "smtp+plain")

D = TypeVar("D", bound=Document)


class Outcome(Value):
    """How a run ended; the JSON that a webhook receives."""

    id: str
    run: str
    outcome: str
    flagged: tuple[str, ...] = ()
    suspect: int = 0
    notes: tuple[str, ...] = ()
    link: str | None = None
    messages: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The outcome in words. Slack and similar services show the field of this name."""
        lines = [_one_line(f"{self.id}: {self.outcome}"), f"run: {self.run}", *self.messages]
        if self.flagged:
            more = f"and {len(self.flagged) - MOST_FLAGGED} more" if len(self.flagged) > MOST_FLAGGED else ""
            lines.append(f"{counted(len(self.flagged), 'slice', 'is', 'are')} flagged:")
            lines += [f"  {s}" for s in self.flagged[:MOST_FLAGGED]] + ([more] if more else [])
        if self.suspect:
            lines.append(f"{counted(self.suspect, 'slice', 'is', 'are')} suspect: see the report")
        lines += self.notes
        return "\n".join([*lines, *([f"look at it: {self.link}"] if self.link else [])])


class Message(NamedTuple):
    """What people get: a mail of subject and text, a webhook `body` as JSON; both with pictures (PNG) by name."""

    subject: str
    text: str
    body: Mapping[str, Any]
    pictures: Mapping[str, bytes] = {}


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Send the notifications that CLIO_SMTP_URL, CLIO_MAIL_FROM and CLIO_WEBHOOK_URL configure.

    Raises as `deliver`.
    """
    request = _asked(run)
    ending = outcome(run, request, os.environ)
    subject, body = f"clio-argo: {ending.id} {ending.outcome}", ending.model_dump(mode="json")
    sent = deliver(request.notify.email if request else (), Message(subject, ending.text, body))
    return StepResult(note=f"sent: {', '.join(sent)}" if sent else "")


def deliver(to: Sequence[str], message: Message) -> list[str]:
    """Send a message to all who are configured; returns what was sent, nothing if nobody is.

    Raises:
        TransientError: a mail server or webhook does not answer. The next try sends all notifications again.
        UserError: a URL cannot be used, or the server refused for good.
    """
    sent, errors = list[str](), list[ClioError]()
    server, hook = os.environ.get("CLIO_SMTP_URL"), os.environ.get("CLIO_WEBHOOK_URL")
    sender = os.environ.get("CLIO_MAIL_FROM", "clio-argo@localhost")
    for name, send in (
        ("mail", server and to and (lambda: send_mail(server, sender, to, message))),
        ("webhook", hook and (lambda: post(hook, _hook_body(message)))),
    ):
        # whoever can be told is told, whatever becomes of the others
        try:
            sent += [f"{name}{send() or ''}"] if send else []
        except ClioError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return sent


def _hook_body(message: Message) -> dict[str, Any]:
    pictures = {name: b64encode(png).decode() for name, png in message.pictures.items()}
    return {**message.body, "text": message.text, **({"pictures": pictures} if pictures else {})}


def _asked(run: Run) -> Request | None:
    """The request of the workflow; that of the root may be another one's, which `plan` refused to replace."""
    if REQUEST not in os.environ:
        return _readable(run, Request, CONFIG)
    with suppress(UserError):
        return from_environment(os.environ)
    return None


def _readable(run: Run, kind: type[D], name: str) -> D | None:
    """A document of the run, or None if it is damaged, too: that may be what people must be told."""
    with suppress(UserError):
        return run.store.find_document(kind, name)
    return None


def outcome(run: Run, request: Request | None, environment: Mapping[str, str]) -> Outcome:
    """The outcome as far as the run's documents and Argo's variables show it, whichever step was the last.

    environment: CLIO_STATUS and CLIO_FAILURES, which a workflow sets.
    """
    done = _readable(run, Completion, COMPLETE)
    placed = _readable(run, Transforms, TRANSFORMS)
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
        notes=(*done.notes, *filter(None, [done.registered])) if done and finished else (),
        link=done.link if done and finished else None,
        messages=(*changed, *failures(environment.get("CLIO_FAILURES", "")))[:MOST_MESSAGES],
    )


def _describe_end(status: str) -> str:
    # for Argo a workflow that a person rejected has succeeded
    return "ended before the volume was made" if status == "Succeeded" else status.lower() or "not complete"


def failures(text: str) -> list[str]:
    """Messages that tell a cause in Argo's list of failures: JSON in a JSON string, null without any."""
    try:
        nodes = json.loads(text)
        nodes = json.loads(nodes) if isinstance(nodes, str) else nodes
    except (ValueError, RecursionError):
        return []
    # groups and lost tries only tell that something ended, and parts of a step fail for the same reason
    named = {str(n.get("message") or ""): str(n.get("displayName", "")) for n in reversed(_mappings(nodes))}
    said = [message for message in reversed(named) if message]
    told = [message for message in said if names_cause(message)] or said[:1]
    return [f"{_one_line(named[m])}: {_printable_lines(reason(m))[:LONGEST_MESSAGE]}" for m in told]


def _mappings(nodes: Any) -> list[dict[str, Any]]:
    return [n for n in nodes if isinstance(n, dict)] if isinstance(nodes, list) else []


def _printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.splitlines()))


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))[:LONGEST_LINE]


def send_mail(server: str, sender: str, to: Sequence[str], mail: Message) -> str:
    """Send one mail to all through smtp://USER:PASSWORD@HOST:PORT (with STARTTLS) or smtps://.

    smtp+plain:// is smtp:// without encryption, which is used for servers of this machine only unless it is said so.

    Returns what is to be said of recipients whom the server refused while it took the mail for others.

    Raises:
        TransientError: the server does not answer, or asks to wait.
        UserError: the URL cannot be used, the server refuses, or it offers no encryption.
    """
    url, port = _parse_server(server)
    message = _mail(sender, to, mail)
    try:
        with _connect(url.scheme, url.hostname or "", port) as smtp:
            if url.username:
                smtp.login(unquote(url.username), unquote(url.password or ""))
            refused = smtp.send_message(message, sender, to)
    except smtplib.SMTPResponseException as error:
        raise _refusal("the mail server", error.smtp_code >= 500, error.smtp_error) from error
    except smtplib.SMTPRecipientsRefused as error:
        raise UserError(f"the mail server takes no mail for {', '.join(error.recipients)}") from error
    except UnicodeError as error:
        raise UserError("CLIO_SMTP_URL: the mail server takes ASCII names and passwords only") from error
    except smtplib.SMTPNotSupportedError as error:
        raise UserError(f"the mail server {url.hostname} cannot do what is asked of it: {error}") from error
    except ssl.SSLCertVerificationError as error:
        raise UserError(
            f"the certificate of the mail server {url.hostname} is not valid: {error.verify_message}"
        ) from error
    except (OSError, smtplib.SMTPException) as error:
        raise TransientError(f"the mail server {url.hostname} does not answer: {error}") from error
    return f" (refused for {', '.join(sorted(refused))})" if refused else ""


def _mail(sender: str, to: Sequence[str], mail: Message) -> EmailMessage:
    message = EmailMessage()
    try:
        message["From"], message["To"] = sender, ", ".join(to)
        message["Subject"] = _one_line(mail.subject)
    # of addresses that are none, some make Python's parser fail with whatever it runs into
    except UNREADABLE as error:
        raise UserError(f"CLIO_MAIL_FROM or notify.email: not addresses of a mail ({error})") from error
    message.set_content(mail.text)
    for name, png in mail.pictures.items():
        message.add_attachment(png, maintype="image", subtype="png", filename=name)
    return message


def _parse_server(server: str) -> tuple[SplitResult, int | None]:
    """Parts of the URL, and its port."""
    # no error shows the URL, which holds a password
    with suppress(ValueError):
        url = urlsplit(server)
        if url.scheme in SCHEMES and url.hostname:
            return url, url.port
    raise UserError(
        "CLIO_SMTP_URL: expected smtp://USER:PASSWORD@HOST:PORT, smtps:// or smtp+plain://, "
        "with %2F for a / and %40 for an @ in it"
    )


def _connect(scheme: str, host: str, port: int | None) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port or 465, timeout=TIMEOUT_S, context=context)
    smtp = smtplib.SMTP(host, port or 587, timeout=TIMEOUT_S)
    smtp.ehlo()
    if smtp.has_extn("starttls") and scheme != PLAIN:
        smtp.starttls(context=context)
        return smtp
    if scheme == PLAIN or ip_address(smtp.sock.getpeername()[0]).is_loopback:  # type: ignore[union-attr]
        return smtp
    smtp.close()
    raise UserError(
        f"the mail server {host} offers no encryption; CLIO_SMTP_URL with {PLAIN}:// instead of smtp:// does without"
    )


def post(url: str, body: Mapping[str, Any]) -> None:
    """POST `body` as JSON. Raises `TransientError` or `UserError`, as `send_mail` does."""
    if not url.startswith(("http://", "https://")):
        raise UserError("CLIO_WEBHOOK_URL: expected http:// or https://")
    try:
        answer = ask("POST", url, body)
    except OSError as error:
        raise TransientError(f"the webhook does not answer: {error}") from error
    # messages of these show the URL, which may hold a token
    except (ValueError, HTTPException) as error:
        raise UserError(f"CLIO_WEBHOOK_URL: cannot be used ({type(error).__name__})") from None
    if answer.status >= 300:
        moved = f"; {REDIRECTED}" if answer.status < 400 else ""
        raise _refusal("the webhook", not answer.passing, f"{answer.status} {answer.reason}{moved}")


def _refusal(who: str, final: bool, why: object) -> ClioError:
    text = why.decode(errors="replace") if isinstance(why, bytes) else why
    return UserError(f"{who} refuses: {text}") if final else TransientError(f"{who} asks to wait: {text}")
