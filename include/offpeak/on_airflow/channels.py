"""Alerts on Airflow: told through the notifiers of Airflow's own providers, with Airflow's connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from offpeak.alerts import send
from offpeak.alerts.channels import Channel, Mail, PagerDuty, Slack
from offpeak.alerts.links import BASE_URL
from offpeak.alerts.message import Message, foreign
from offpeak.alerts.raising import Raised, Seen, raise_alerts
from offpeak.connections import Connections
from offpeak.errors import DeliveryError
from offpeak.on_airflow.site import airflow_site

if TYPE_CHECKING:
    from offpeak.alerts.watch import Watched
    from offpeak.site import Site


def raise_on_airflow(
    workload: Watched, run_id: str | None, *, seen: Seen | None = None, site: Site | None = None
) -> Raised:
    """`raise_alerts` with Airflow's connections and notifiers, and links into its UI. Never fails a task."""
    return raise_alerts(linked(site or airflow_site()), workload, run_id, seen=seen, deliver=deliver)


def linked(site: Site) -> Site:
    """The site, knowing the address of this Airflow's UI from its configuration."""
    from airflow.sdk.configuration import conf

    if any(site.env.get(name) for name in BASE_URL):
        return site
    base = conf.get("api", "base_url", fallback="")
    return replace(site, env={**site.env, BASE_URL[0]: base}) if base else site


def deliver(channel: Channel, message: Message, site: Site) -> None:
    """Give the message to the channel: by a provider's notifier, a webhook by ourselves.

    DeliveryError when it was not taken, or the provider is not installed: the message names the command.
    """
    match channel:
        case Slack():
            _through(channel.connection, lambda: _slack(channel, message), site.connections)
        case Mail():
            _through(channel.connection, lambda: _mail(channel, message), site.connections)
        case PagerDuty():
            _through(channel.connection, lambda: _pagerduty(channel, message), site.connections)
        case _:
            send.deliver(channel, message, site)


def _through(connection_id: str, notifier: Callable[[], Any], connections: Connections) -> None:
    """Notify. `notify` and not a call: that would render the message as a template, and what models and
    providers said is in it."""
    problem = ""
    try:
        notifier().notify({})
    except DeliveryError:
        raise
    except Exception as error:  # noqa: BLE001  a provider's hook may raise anything; it is kept and retried
        problem = foreign(_hidden(f"{type(error).__name__}: {error}", connection_id, connections))
    if problem:
        raise DeliveryError(f"The connection {connection_id} did not take it: {problem}")


def _hidden(text: str, connection_id: str, connections: Connections) -> str:
    """The text without the connection's own secret."""
    found = connections.get(connection_id)
    return text.replace(found.password, "(hidden)") if found and found.password else text


def _slack(channel: Slack, message: Message) -> Any:
    try:
        if channel.to:
            from airflow.providers.slack.notifications.slack import SlackNotifier

            text = send.slack_text(message)
            return SlackNotifier(
                slack_conn_id=channel.connection,
                text=text,
                channel=channel.to,
                username="Offpeak",
                unfurl_links=False,
            )
        from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier
    except ImportError:
        raise _missing("slack") from None
    return SlackWebhookNotifier(
        slack_webhook_conn_id=channel.connection, text=send.slack_text(message), unfurl_links=False
    )


def _mail(channel: Mail, message: Message) -> Any:
    try:
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier
    except ImportError:
        raise _missing("smtp") from None
    return SmtpNotifier(
        smtp_conn_id=channel.connection,
        from_email=channel.sender or None,
        to=list(channel.to),
        subject=send.subject_of(message),
        html_content=message.as_html(),
        custom_headers=send.mail_headers(message),
    )


def _pagerduty(channel: PagerDuty, message: Message) -> Any:
    try:
        from airflow.providers.pagerduty.notifications.pagerduty import PagerdutyNotifier
    except ImportError:
        raise _missing("pagerduty") from None
    event = send.pagerduty_event(message)
    payload = event["payload"]
    return PagerdutyNotifier(
        pagerduty_events_conn_id=channel.connection,
        summary=payload["summary"],
        severity=payload["severity"],
        source=payload["source"],
        component=payload["component"],
        class_type=payload["class"],
        custom_details=payload["custom_details"],
        action=event["event_action"],
        dedup_key=event["dedup_key"],
        links=event["links"],
    )


def _missing(provider: str) -> DeliveryError:
    package = f"apache-airflow-providers-{provider}"
    return DeliveryError(
        f"{package} is not installed on this worker, so nothing was sent. Install it with "
        f"`pip install {package}` on workers and triggerers; the alert is kept and tried again."
    )
