"""Sending without Airflow: webhooks, mail, Slack and PagerDuty, with the standard library and one HTTP client."""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Callable
from email.headerregistry import Address as MailAddress
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from offpeak.alerts.channels import Channel, Mail, PagerDuty, Slack, Webhook
from offpeak.alerts.http import Address, address_of, connection_of, post
from offpeak.alerts.message import Message
from offpeak.connections import Connection
from offpeak.errors import DeliveryError

if TYPE_CHECKING:
    from offpeak.site import Site

Deliver = Callable[[Channel, Message, "Site"], None]
"""Gives one message to one channel, or raises DeliveryError."""

SLACK_HOOKS = "https://hooks.slack.com/services"
SLACK_API = "https://slack.com/api"
PAGERDUTY_EVENTS = "https://events.pagerduty.com"
SMTP_SECONDS = 20.0
SUBJECT_CHARACTERS = 150


def deliver(channel: Channel, message: Message, site: Site) -> None:
    """Give the message to the channel. DeliveryError says why it was not taken, without any secret."""
    match channel:
        case Webhook():
            to = address_of(channel.address, site.connections)
            post(to, message.as_json(), headers={"Idempotency-Key": message.id})
        case Mail():
            _mail(channel, message, connection_of(channel.connection, site.connections))
        case Slack():
            _slack(channel, message, connection_of(channel.connection, site.connections))
        case PagerDuty():
            _pagerduty(message, connection_of(channel.connection, site.connections))
        case _:
            raise DeliveryError(f"Nothing here knows how to reach {channel.name}.")


def slack_text(message: Message) -> str:
    """The text as Slack takes it. `<!channel>` and links in foreign text are no commands."""
    text = message.as_text().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    title, _, rest = text.partition("\n")
    return f"*{title}*\n{rest}".rstrip()


def pagerduty_event(message: Message) -> dict[str, Any]:
    """What PagerDuty's Events API is told, without the integration key."""
    links = [{"href": a, "text": label} for label, a in message.links if a.startswith("http")]
    return {
        "event_action": "resolve" if message.kind == "resolved" else "trigger",
        "dedup_key": message.incident[:255],
        "payload": {
            "summary": message.title[:1024],
            "severity": message.severity,
            "source": "offpeak",
            "component": message.alert.workload,
            "class": str(message.alert.cause),
            "custom_details": {
                **dict(message.lines),
                "options": [f"{one.name}: {one.what} {one.command}".rstrip() for one in message.options],
            },
        },
        "links": links,
    }


def subject_of(message: Message) -> str:
    """The subject of a mail: one line, whatever the title holds."""
    return f"[Offpeak] {' '.join(message.title.split())}"[:SUBJECT_CHARACTERS]


def _slack(channel: Slack, message: Message, connection: Connection) -> None:
    body = {"text": slack_text(message)}
    if not channel.to:
        base = _base(connection, SLACK_HOOKS)
        token = connection.password
        url = token if token.startswith("https://") else f"{base}/{token}" if token else base
        post(Address(url=url), body)
        return
    to = Address(
        url=f"{_base(connection, SLACK_API)}/chat.postMessage",
        headers={"Authorization": f"Bearer {connection.password}"},
    )
    answer = post(to, {**body, "channel": channel.to})
    try:
        told = json.loads(answer)
    except ValueError:
        told = {}
    if not (isinstance(told, dict) and told.get("ok")):
        said = told.get("error", "no reason") if isinstance(told, dict) else "no reason"
        raise DeliveryError(f"Slack did not take the message for {channel.to}: {said}. It is tried again.")


def _pagerduty(message: Message, connection: Connection) -> None:
    url = f"{_base(connection, PAGERDUTY_EVENTS)}/v2/enqueue"
    post(Address(url=url), {"routing_key": connection.password, **pagerduty_event(message)})


def _base(connection: Connection, otherwise: str) -> str:
    host = connection.host.rstrip("/")
    if not host:
        return otherwise
    return host if "://" in host else f"{connection.schema or 'https'}://{host}"


def _mail(channel: Mail, message: Message, connection: Connection) -> None:
    mail = mail_of(channel, message, sender=channel.sender or str(connection.extra.get("from_email") or ""))
    problem = ""
    try:
        with _server(connection) as server:
            refused = server.send_message(mail)
    except (smtplib.SMTPException, OSError, UnicodeError) as error:
        problem = _smtp_problem(error)
    else:
        problem = f"it refused {', '.join(refused)}" if refused else ""
    if problem:
        raise DeliveryError(f"The mail server of {channel.connection} did not take it: {problem}.")


def mail_of(channel: Mail, message: Message, *, sender: str) -> EmailMessage:
    """The mail, as text and HTML; its id is the message's own, so that a repetition shows as one."""
    if not sender:
        raise DeliveryError(
            f"There is no sender: give mail(..., sender=...), or from_email in the extra of {channel.connection}."
        )
    mail = EmailMessage()
    mail["Subject"] = subject_of(message)
    mail["From"] = _address(sender)
    mail["To"] = ", ".join(channel.to)
    mail["Date"] = formatdate()
    for name, value in mail_headers(message).items():
        mail[name] = value
    mail.set_content(message.as_text())
    mail.add_alternative(message.as_html(), subtype="html")
    return mail


def mail_headers(message: Message) -> dict[str, str]:
    """Headers that make one thread of an alert's mails and one mail of a repetition."""
    thread = f"<offpeak-{message.alert.sequence}@offpeak.invalid>"
    return {"Message-ID": f"<{message.id}@offpeak.invalid>", "References": thread, "In-Reply-To": thread}


def _address(text: str) -> MailAddress:
    try:
        return MailAddress(addr_spec=text)
    except ValueError:
        raise DeliveryError(f"The sender {text!r} is no mail address.") from None


def _server(connection: Connection) -> smtplib.SMTP:
    """Connected and logged in. Extras as in Airflow's own SMTP connection: `disable_ssl`, `disable_tls`."""
    extra = connection.extra
    secure = None if extra.get("ssl_context") == "none" else ssl.create_default_context()
    timeout = min(float(extra.get("timeout") or SMTP_SECONDS), SMTP_SECONDS)
    if _off(extra.get("disable_ssl")):
        server = smtplib.SMTP(connection.host, connection.port or 25, timeout=timeout)
        if not _off(extra.get("disable_tls")):
            server.starttls(context=secure)
    else:
        server = smtplib.SMTP_SSL(connection.host, connection.port or 465, timeout=timeout, context=secure)
    if connection.login and connection.password:
        server.login(connection.login, connection.password)
    return server


def _off(value: object) -> bool:
    """Whether a switch of an extra is set; texts come from connections that are URIs."""
    return value is True or str(value).lower() in ("true", "1", "yes")


def _smtp_problem(error: Exception) -> str:
    """The server's own code and words; never the credentials, which no SMTP answer holds."""
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return f"{error.smtp_code} {' '.join(words.split())[:120]}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"it refused {', '.join(error.recipients)}"
    return type(error).__name__
