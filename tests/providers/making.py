"""Accounts at the emulator, and shards to send to them. A new provider is one more `Case`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from offpeak.emulator import Emulator
from offpeak.providers import provider
from offpeak.providers.provider import Account, AnswerForm, Ask, Client, Provider, Submission

KEY = "key-that-must-never-be-shown-5f2c9a"

LABEL_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["card", "refund", "other"]}},
    "required": ["label"],
    "additionalProperties": False,
}
TEXT = AnswerForm(kind="text")
OBJECT = AnswerForm(kind="object", name="Label", schema=LABEL_SCHEMA)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the contract tests need to know of a provider, besides its name."""

    name: str
    model: str
    creates: str
    """The path of the paid call, as the emulator's journal names it."""
    uploads: bool
    room: str
    """The key of the output limit in a body."""


CASES = (
    Case(name="openai", model="gpt-5-mini", creates="/v1/batches", uploads=True, room="max_output_tokens"),
    Case(
        name="anthropic",
        model="claude-haiku-4-5",
        creates="/v1/messages/batches",
        uploads=False,
        room="max_tokens",
    ),
)


@dataclass(kw_only=True)
class Bench:
    """One provider at a running emulator, with the clients that a test opened."""

    case: Case
    emulator: Emulator
    folder: Path
    waits: list[float] = field(default_factory=list)
    clients: list[Any] = field(default_factory=list)

    @property
    def provider(self) -> Provider:
        return provider(self.case.name)

    def ask(self, form: AnswerForm = TEXT, **changes: Any) -> Ask:
        return Ask(**{"model": self.case.model, "form": form, "max_output_tokens": 500, **changes})

    def account(self, **changes: Any) -> Account:
        url = self.emulator.openai_url if self.case.name == "openai" else self.emulator.anthropic_url
        made = Account(id="bench", provider=self.case.name, api_key=KEY, base_url=url)
        return replace(made, **changes)

    def client(self, account: Account | None = None) -> Client:
        made: Any = self.provider.connect(account or self.account())
        made._wait = self.waits.append
        self.clients.append(made)
        return made  # type: ignore[no-any-return]

    def shard(
        self, tag: str = "a1b2", *, texts: list[str] | None = None, ask: Ask | None = None
    ) -> Submission:
        ask, texts = ask or self.ask(), texts or ["My card is lost.", "I want a refund.", "Hello there."]
        path = self.folder / f"{tag}.jsonl"
        lines = [
            orjson.dumps(
                self.provider.line(ask, f"{tag}-{number}", self.provider.body(ask, system="Sort.", user=text))
            )
            for number, text in enumerate(texts, 1)
        ]
        path.write_bytes(b"\n".join(lines) + b"\n")
        return Submission(
            run_id="tickets/2026-11-22/1",
            round=1,
            shard=3,
            tag=tag,
            path=path,
            request_count=len(texts),
            size_bytes=path.stat().st_size,
            ask=ask,
        )

    def uploaded(self, submission: Submission, client: Client) -> Submission:
        return replace(submission, upload_id=client.upload(submission))

    def created(self, tag: str = "a1b2", **of_shard: Any) -> tuple[Client, Submission, str]:
        """A batch that has just been created: its client, its shard, its id."""
        client = self.client()
        submission = self.uploaded(self.shard(tag, **of_shard), client)
        return client, submission, client.create(submission).id
