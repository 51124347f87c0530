"""What every provider promises: pure functions from a request to its wire form and back, and a client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from offpeak.connections import Connections
from offpeak.quota import Quota
from offpeak.states import BatchStatus, Outcome

if TYPE_CHECKING:
    from offpeak.blocks import Block
    from offpeak.providers.plain import Plains


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one batch may hold. Each adapter states source and date beside its numbers."""

    requests: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerForm:
    """What is asked for, without pydantic: plain text, an object of a JSON schema, or a vector."""

    kind: Literal["text", "object", "vector"]
    name: str = "answer"
    """1-64 characters of [A-Za-z0-9_-]; the schema's name at the provider."""
    schema: Mapping[str, Any] | None = None
    """A JSON schema, closed (`additionalProperties: false`, every property required), for `object`."""
    dimensions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What all requests of a workload have in common."""

    model: str
    """The provider's own model name, without our `provider:` prefix."""
    form: AnswerForm
    endpoint: str = ""
    """The provider's endpoint by its short name (`responses`, `chat` ...); empty for the default one."""
    max_output_tokens: int = 4096
    params: Mapping[str, Any] = field(default_factory=dict)
    """Further body parameters, passed through as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one or many requests, kept whole.

    `input_tokens` counts everything that went in, cached and cache-written tokens included, whatever
    the provider's own convention is; `output_tokens` includes reasoning.
    """

    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    """Written at the provider's ordinary cache time-to-live (5 or 30 minutes)."""
    cache_write_long_tokens: int = 0
    """Written at the long time-to-live (1 or 12 hours)."""
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            **{name: getattr(self, name) + getattr(other, name) for name in Usage.__dataclass_fields__}
        )

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in Usage.__dataclass_fields__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One result line (or realtime answer), read. `answered` here means: there is an answer to validate."""

    custom_id: str
    outcome: Outcome
    text: str | None = None
    """The answer as text (JSON for `object`); also kept for refused and truncated ones."""
    vector: bytes | None = None
    """float32, little-endian, for `vector`."""
    model: str = ""
    """The model that answered, in the provider's words."""
    usage: Usage = field(default_factory=Usage)
    code: str = ""
    """The provider's error code or stop reason, for every outcome but answered."""
    message: str = ""
    transient: bool = False
    """Whether asking the very same again may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The provider's job as it was last seen."""

    id: str
    status: BatchStatus
    provider_status: str
    """The provider's own word."""
    created_at: datetime
    ended_at: datetime | None = None
    expires_at: datetime | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    """Requests; 0 where the provider does not tell before the end."""
    result_files: tuple[str, ...] = ()
    """What `Client.lines` reads: file ids or addresses, empty ones left out."""
    code: str = ""
    message: str = ""
    """Why the whole batch failed, with the provider's line number where it gives one."""
    transient: bool = False
    """Whether submitting the same shard again may succeed (limit reached, file not visible yet)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Credentials and address of one provider account. `id` (the connection's) is what may be shown."""

    id: str
    provider: str
    api_key: str = field(repr=False)
    base_url: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    quota: Quota = field(default_factory=Quota)
    """How much may be at the provider at once; may be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A shard on its way to becoming a batch, and all that finds it again after a crash."""

    run_id: str
    round: int
    shard: int
    tag: str
    """Hex, unique to this shard file; every custom_id in it starts with `<tag>-`."""
    path: Path
    request_count: int
    size_bytes: int
    ask: Ask
    upload_id: str | None = None
    """The provider's id of the uploaded file, once there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Batches at the provider that are this submission's."""

    proven: tuple[Batch, ...] = ()
    possible: tuple[Batch, ...] = ()
    """Could be it, but the provider offers no proof yet (Anthropic, while a batch is live)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A batch of the account that was made by Offpeak, or may have been."""

    batch: Batch
    tag: str
    """Of the shard that it was made of; "" where the provider offers no proof (Anthropic, while it is live)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A shard file that lies at the provider."""

    id: str
    tag: str
    """Of the shard, by the file's name."""
    created_at: datetime


class Provider(Protocol):
    """Stateless. Everything but `connect` is pure, and never imports the SDK."""

    name: ClassVar[str]
    limits: ClassVar[Limits]

    def problems(self, ask: Ask) -> list[str]:
        """What this provider would refuse about the workload, each with its cure; empty if nothing."""

    def body(self, ask: Ask, *, system: str, user: str) -> dict[str, Any]:
        """The JSON body of one request. `system` and `user` appear in it verbatim, once each (system
        only if not empty), and nothing else of the body depends on them."""

    def line(self, ask: Ask, custom_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One record of the shard file around `body`."""

    def custom_id(self, line: Mapping[str, Any]) -> str: ...

    def body_of(self, line: Mapping[str, Any]) -> Mapping[str, Any]:
        """The request body within a record of the shard file."""

    def with_more_room(self, line: dict[str, Any], factor: float) -> dict[str, Any]:
        """The same record with `factor` times the output limit."""

    def with_note(self, line: dict[str, Any], note: str) -> dict[str, Any]:
        """The same record with `note` (why the last answer was not accepted) after the user text."""

    def parse(self, line: bytes) -> Reply:
        """Read one result line. Never raises on content: what cannot be read is an `errored` Reply with
        code `unreadable_line`, custom_id "" if even that is lost; an unknown kind of result is
        `errored` with code `unknown_result`, its raw text in `message`."""

    def plain(self, lines: Block, dimensions: int | None) -> Plains:
        """The fast half of `parse`: those of the lines that are nothing but an answer, as columns.

        With `dimensions` an answer is a vector of so many, without it is a text."""

    def parse_body(self, custom_id: str, body: Mapping[str, Any]) -> Reply:
        """Read the body of a successful realtime answer."""

    def account(self, connection_id: str | None, connections: Connections, env: Mapping[str, str]) -> Account:
        """The account of `connection_id`, else of the provider's default connection, else of the
        provider's own environment variables. SpecError, with the cure, when there is none."""

    def connect(self, account: Account) -> Client:
        """A client; imports the SDK. SpecError with the install command when that is missing."""


class Client(Protocol):
    """Talks to one account. SDK retries are off everywhere: every retry is the caller's decision.

    Errors: ProviderRefused (for good), ProviderBusy (with the provider's Retry-After, however long),
    OutcomeUnknown (a call that may have taken effect: time-out, connection lost, 5xx or unreadable
    answer on upload/create/cancel). Messages never hold the key.
    """

    def upload(self, submission: Submission) -> str | None:
        """Send the file ahead, where the provider works that way; its id there, else None."""

    def create(self, submission: Submission) -> Batch:
        """The paid call. Sent exactly once."""

    def find(self, submission: Submission, *, since: datetime, owned: frozenset[str]) -> Found:
        """Look for this submission among the account's batches created after `since` (with a margin).

        `owned` are batch ids that other shards hold. Raises when it could not look to the end:
        "could not look" is never "not there".
        """

    def ours(self, *, since: datetime, owned: frozenset[str]) -> Iterator[Listed]:
        """The account's batches created after `since` that carry our marks, newest first; those in `owned`
        and those of others are left out. Raises when it could not look to the end."""

    def uploads(self) -> Iterator[Upload]:
        """The shard files that lie at the provider, newest first; nothing where there are no uploads."""

    def find_upload(self, submission: Submission, *, since: datetime) -> str | None:
        """The id of this submission's uploaded file, where there is one and it was not recorded."""

    def discard_upload(self, upload_id: str) -> None:
        """Delete an uploaded file; an already deleted one is fine."""

    def look(self, batch_id: str) -> Batch: ...

    async def alook(self, batch_id: str) -> Batch: ...

    def cancel(self, batch_id: str) -> Batch:
        """Ask for the end of a batch. One that has already ended is returned as it is."""

    def blocks(self, batch: Batch) -> Iterator[Block]:
        """Every result line, split on LF only, blank ones left out, from all result files, as they arrive.

        A download that breaks off is begun anew without giving a line twice; ProviderBusy when it keeps breaking.
        """

    def ask(self, ask: Ask, custom_id: str, body: Mapping[str, Any]) -> Reply:
        """One request on the realtime route."""

    async def aask(self, ask: Ask, custom_id: str, body: Mapping[str, Any]) -> Reply: ...

    def close(self) -> None: ...

    async def aclose(self) -> None: ...
