"""`offpeak emulate`: the providers' APIs on localhost."""

from __future__ import annotations

import click


@click.command("emulate")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port [default: a free one].")
@click.option(
    "--speed", type=float, default=1.0, show_default=True, help="Seconds of batch life per real second."
)
@click.option(
    "--latency", default="fixed", show_default=True, help="How long batches take, by a profile's name."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the latency and the order of results."
)
def command(port: int, speed: float, latency: str, seed: int) -> int:
    """Serve the OpenAI and Anthropic APIs on localhost until Ctrl-C, with a stand-in model.

    Nothing it answers comes from a real model, and its answers say so. Faults are switched and the
    clock is turned over HTTP below /_emulator/.
    """
    from offpeak.emulator import Options, latency_named, serve

    try:
        drawn = latency_named(latency)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--latency") from None

    def ready(url: str) -> None:
        click.echo(url)
        click.echo(
            f"Set OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=any ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=any",
            err=True,
        )

    serve(Options(port=port, speed=speed, latency=drawn, seed=seed), ready=ready)
    return 0
