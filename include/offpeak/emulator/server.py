"""Running the emulator: in a thread of this process, or as a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from offpeak.emulator.control import Control
from offpeak.emulator.options import Options

if TYPE_CHECKING:
    import uvicorn

START_SECONDS = 30.0
SHUTDOWN_SECONDS = 2


class Emulator:
    """The providers on localhost for the length of a `with` block.

    Takes an `Options`, or its fields by name. The port is free and the server answers on entry; on exit
    the server, its threads and its files are gone.
    """

    def __init__(self, options: Options | None = None, **fields: Any) -> None:
        self.options = dataclasses.replace(options or Options(), **fields)
        self._url: str | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        if self._url is None:
            raise RuntimeError("The emulator is not running: use it in a `with` block.")
        return self._url

    @property
    def openai_url(self) -> str:
        """The base_url for OpenAI's clients."""
        return self.url + "/v1"

    @property
    def anthropic_url(self) -> str:
        """The base_url for Anthropic's clients."""
        return self.url

    @property
    def control(self) -> Control:
        return Control(self.url)

    def __enter__(self) -> Emulator:
        started = threading.Event()
        with _listening(self.options) as (listener, url):
            self._server = _server(self.options, lambda: started.set())
            self._thread = threading.Thread(
                target=self._server.run, args=([listener.dup()],), name="emulator", daemon=True
            )
            self._thread.start()
        if not started.wait(START_SECONDS):
            raise RuntimeError(f"The emulator did not start within {START_SECONDS:.0f} s on {url}.")
        self._url = url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(START_SECONDS)
        self._url = None


def serve(options: Options | None = None, *, ready: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM, then returns. Calls `ready` with the URL once it answers.

    Must be called from the main thread, which is where signals arrive.
    """
    options = options or Options()
    with _listening(options) as (listener, url):
        server = _server(options, lambda: ready(url))

        def leave(number: int, frame: Any) -> None:
            server.should_exit = True

        before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            server.run([listener])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _listening(options: Options) -> Iterator[tuple[socket.socket, str]]:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
        yield listener, f"http://{options.host}:{listener.getsockname()[1]}"
    finally:
        listener.close()


def _server(options: Options, started: Callable[[], None]) -> uvicorn.Server:
    import uvicorn

    from offpeak.emulator.app import build_app
    from offpeak.emulator.world import World

    world = World(options)

    class Server(uvicorn.Server):
        """Says when it answers, leaves signals to us, and clears up after itself."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            world.stop.set()
            await super().shutdown(sockets)
            world.close()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        build_app(world),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return Server(config)
