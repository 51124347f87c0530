"""Channels in a DAG file: plain, checked when the file is parsed, and without a secret in what they show."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from offpeak.alerts import mail, pagerduty, slack, webhook
from offpeak.alerts.message import TEXT_CHARACTERS, Message, foreign
from offpeak.alerts.send import deliver, pagerduty_event, slack_text
from offpeak.alerts.watch import Watch
from offpeak.alerts.wording import message_of
from offpeak.errors import DeliveryError, SpecError
from offpeak.ledger import Alert, Ledger
from offpeak.states import AlertCause
from tests.alerts.making import NOW, Desk, watch
from tests.alerts.servers import Hook
from tests.core.making import workload


def message(error: str = "gone", *, resolved: bool = False) -> Message:
    alert = Alert(
        key="failed:w/i",
        cause=AlertCause.FAILED,
        subject="w/i",
        workload="w",
        run_id="w/i",
        essence="e",
        facts={"error": error},
        sequence=4,
        version=2 if resolved else 1,
        opened_at=NOW,
        updated_at=NOW,
        resolved_at=NOW if resolved else None,
    )
    return message_of(alert, told_version=0)


def test_a_workload_takes_channels_and_a_ping() -> None:
    made = workload(alerts=[slack("ops"), mail("mails", to="a@b.example")], ping="https://beat.example/x")
    assert [channel.name for channel in made.alerts] == ["slack:ops", "mail:mails:a@b.example"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"alerts": slack("ops")}, r"give a list such as \[slack\('slack_ops'\)\]"),
        ({"alerts": ["ops"]}, "'ops' is no channel; give slack"),
        ({"alerts": [slack("ops"), slack("ops")]}, "slack:ops is there twice"),
        ({"ping": "ftp://x"}, r"ping='ftp://x': give an http\(s\) address"),
        ({"ping": None}, "ping=None: give"),
    ],
)
def test_a_mistake_is_told_when_the_file_is_parsed(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        workload(**changes)


@pytest.mark.parametrize("to", [[], "nobody", ["a@b.example", "x\r\nBcc: y@z.example"], "a b@c", "a@b@c"])
def test_a_mail_to_no_address_is_refused(to: Any) -> None:
    with pytest.raises(SpecError, match="is no address"):
        mail("mails", to=to)


def test_a_webhooks_url_is_shown_nowhere() -> None:
    channel = webhook("https://hooks.example/services/T0/B0/s3cret")
    assert "s3cret" not in repr(channel) + channel.name
    assert channel.name.startswith("webhook:hooks.example:")
    assert channel.name != webhook("https://hooks.example/services/T0/B0/other").name


def test_a_watch_survives_json() -> None:
    made = watch(
        *(
            slack("ops", to="#ops"),
            mail("m", to=["a@b.example"]),
            pagerduty("p"),
            webhook("https://h.example"),
        ),
        budget_usd=Decimal("2.50"),
    )
    for due in (timedelta(minutes=45), "07:00 Europe/Berlin", None):
        one = watch(*made.alerts, due=due, budget_usd=made.budget_usd)
        assert Watch.read(json.loads(json.dumps(one.as_dict()))) == one


def test_a_foreign_text_is_cut_cleaned_and_holds_no_secret() -> None:
    said = foreign(
        "bad\u202e key sk-proj-0123456789 Bearer abcdef123456 at postgresql://me:pw@db.example/x " + "y" * 900
    )
    assert "sk-proj" not in said
    assert "abcdef123456" not in said
    assert "me:pw" not in said
    assert "⟨U+202E⟩" in said
    assert said.endswith("characters)")
    assert len(said) < TEXT_CHARACTERS + 40


def test_slack_takes_foreign_text_as_text() -> None:
    assert "&lt;!channel&gt; &amp; &lt;https://x|y&gt;" in slack_text(message("<!channel> & <https://x|y>"))


def test_pagerduty_is_told_to_resolve_the_incident_that_it_was_told_to_open() -> None:
    opened, resolved = pagerduty_event(message()), pagerduty_event(message(resolved=True))
    assert (opened["event_action"], resolved["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == resolved["dedup_key"] == "offpeak:4:failed:w/i"
    assert opened["payload"]["severity"] == "error"


def test_slack_and_pagerduty_are_reached_without_airflow_too(tmp_path: Path, hook: Hook) -> None:
    base = f"http://127.0.0.1:{hook.port}"
    env = {
        f"AIRFLOW_CONN_{name}": json.dumps({"conn_type": "http", "host": base, "password": key})
        for name, key in (("S", "T0/B0/x"), ("T", "xoxb-1"), ("P", "key9"))
    }
    site = Desk(ledger=Ledger(f"sqlite:///{tmp_path}/l"), folder=tmp_path, env=env).site
    deliver(slack("s"), message(), site)
    deliver(pagerduty("p"), message(), site)
    hook.answer = b'{"ok": true}'
    deliver(slack("t", to="#ops"), message(), site)
    assert hook.paths == ["/T0/B0/x", "/v2/enqueue", "/chat.postMessage"]
    assert hook.taken[1]["routing_key"] == "key9"
    assert (hook.taken[2]["channel"], hook.headers[2]["Authorization"]) == ("#ops", "Bearer xoxb-1")
    hook.answer = b'{"ok": false, "error": "channel_not_found"}'
    with pytest.raises(DeliveryError, match="did not take the message for #ops: channel_not_found"):
        deliver(slack("t", to="#ops"), message(), site)


def test_a_webhook_by_connection_has_its_headers_and_login(tmp_path: Path, hook: Hook) -> None:
    made = {
        "conn_type": "http",
        "host": "127.0.0.1",
        "schema": "http",
        "port": hook.port,
        "login": "me",
        "password": "pw",
        "extra": {"X-Team": "data"},
    }
    env = {"AIRFLOW_CONN_HOOK": json.dumps(made)}
    site = Desk(ledger=Ledger(f"sqlite:///{tmp_path}/l"), folder=tmp_path, env=env).site
    deliver(webhook("hook"), message(), site)
    assert hook.headers[0]["X-Team"] == "data"
    assert hook.headers[0]["Authorization"].startswith("Basic ")


def test_a_connection_that_is_not_there_is_named(tmp_path: Path) -> None:
    site = Desk(ledger=Ledger(f"sqlite:///{tmp_path}/l"), folder=tmp_path).site
    with pytest.raises(DeliveryError, match=r"no connection 'ops' here.*AIRFLOW_CONN_OPS"):
        deliver(slack("ops"), message(), site)


def test_naming_channels_imports_neither_airflow_nor_anything_heavy() -> None:
    code = (
        "import sys; from offpeak.alerts import slack, mail; slack('a'); mail('b', to='a@b.example'); "
        "print([name for name in ('airflow', 'sqlalchemy', 'httpx2', 'smtplib', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
