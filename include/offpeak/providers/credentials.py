"""Credentials: the account that a connection or the environment names, read as Airflow's hooks read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from offpeak.connections import Connection, Connections
from offpeak.errors import SpecError
from offpeak.providers.provider import Account
from offpeak.quota import quota_of_connection, quota_of_environment

KEY_ARGUMENT = "key_argument"
"""The option that names the client's argument for the key, where it is not `api_key`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Where one provider's credentials are by convention."""

    provider: str
    default_connection: str
    client_kwargs: str
    """The key of a connection's extra that holds arguments of the SDK's client."""
    key_variables: tuple[str, ...]
    """Environment variables that may hold the key, the first one set wins."""
    base_url_variable: str
    options_of: Mapping[str, Mapping[str, Any]]
    """Options that go with a key variable (how it is to be sent)."""
    option_variables: Mapping[str, str] = field(default_factory=dict)
    """Further options of an account from the environment, by the variable that holds them."""


def read_account(
    naming: Naming, connection_id: str | None, connections: Connections, env: Mapping[str, str]
) -> Account:
    """The account of `connection_id`, else of the default connection, else of the environment.

    A connection that was asked for by name and is not there raises SpecError rather than letting another
    account pay. A connection without a key takes the key from the environment, as the hooks do. The quota
    goes with the account: it is in the connection's extra, or, without a connection, in the environment.
    """
    connection = connections.get(connection_id or naming.default_connection)
    if connection is None and connection_id:
        raise SpecError(
            f"There is no connection {connection_id!r} for {naming.provider}. Add it (airflow connections "
            f"add, or AIRFLOW_CONN_{connection_id.upper()}), or name no connection to use "
            f"{naming.default_connection} or {naming.key_variables[0]}."
        )
    return _of_connection(naming, connection, env) if connection else _of_environment(naming, env)


def _of_connection(naming: Naming, connection: Connection, env: Mapping[str, str]) -> Account:
    kwargs = connection.extra.get(naming.client_kwargs) or {}
    if not isinstance(kwargs, Mapping):
        raise SpecError(
            f"{naming.client_kwargs} in the extra of connection {connection.id} is not an object. "
            'Write it as {"' + naming.client_kwargs + '": {"timeout": 60}}.'
        )
    options = {name: value for name, value in kwargs.items() if name not in ("api_key", "base_url")}
    key = str(kwargs.get("api_key") or connection.password or "")
    if not key:
        variable, key = _key_in(naming, env)
        options = {**options, **naming.options_of.get(variable, {})}
    if not key:
        raise SpecError(
            f"The connection {connection.id} has no key. Put the {naming.provider} API key in its password "
            f"field, or set {naming.key_variables[0]}."
        )
    return Account(
        id=connection.id,
        provider=naming.provider,
        api_key=key,
        base_url=_address(
            kwargs.get("base_url") or connection.host or env.get(naming.base_url_variable), connection.id
        ),
        options=options,
        quota=quota_of_connection(connection),
    )


def _of_environment(naming: Naming, env: Mapping[str, str]) -> Account:
    variable, key = _key_in(naming, env)
    if not key:
        raise SpecError(
            f"There are no credentials for {naming.provider}. Add the connection {naming.default_connection} "
            f"(conn_type {naming.provider}, the API key as password) or set "
            f"{' or '.join(naming.key_variables)}."
        )
    return Account(
        id=f"env:{variable}",
        provider=naming.provider,
        api_key=key,
        base_url=_address(env.get(naming.base_url_variable), naming.base_url_variable),
        options={
            **naming.options_of.get(variable, {}),
            **{option: env[name] for name, option in naming.option_variables.items() if env.get(name)},
        },
        quota=quota_of_environment(naming.provider, env),
    )


def _key_in(naming: Naming, env: Mapping[str, str]) -> tuple[str, str]:
    for variable in naming.key_variables:
        key = env.get(variable, "").strip()
        if key:
            return variable, key
    return "", ""


def _address(given: object, where: str) -> str | None:
    address = str(given).strip() if given else ""
    if address and not address.startswith(("http://", "https://")):
        raise SpecError(
            f"The address {address!r} of {where} does not start with https://. Write the whole base URL."
        )
    return address or None


def client_options(account: Account) -> dict[str, Any]:
    """Arguments for the SDK's client. Its retries are off: a retried create can be billed twice."""
    options = dict(account.options)
    options.pop("timeout", None)  # each call sets its own, see `look_seconds`
    key_argument = options.pop(KEY_ARGUMENT, "api_key")
    return {**options, key_argument: account.api_key, "base_url": account.base_url, "max_retries": 0}


def look_seconds(account: Account, default: float) -> float:
    """The time-out of small calls: the connection's own, else `default`."""
    given = account.options.get("timeout")
    timed = isinstance(given, int | float) and not isinstance(given, bool) and given > 0
    return float(given) if given and timed else default
