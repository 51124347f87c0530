"""A webhook's receiver and a mail server, on free ports of this machine."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

POLL_SECONDS = 0.01
"""How soon a server notices that it is to end; by itself it looks every half second."""


class Hook:
    """Takes POSTs and GETs and keeps them; answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.answer = b"ok"
        self.taken: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.refused = 0
        hook, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                self._answer(json.loads(body))

            def do_GET(self) -> None:
                self._answer({})

            def _answer(self, body: dict[str, Any]) -> None:
                with lock:
                    if 200 <= hook.status < 300:
                        hook.taken.append(body)
                        hook.headers.append(dict(self.headers.items()))
                        hook.paths.append(self.path)
                    else:
                        hook.refused += 1
                self.send_response(hook.status)
                self.send_header("Content-Length", str(len(hook.answer)))
                self.end_headers()
                self.wfile.write(hook.answer)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hooks/T0P-S3CRET"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def titles(self) -> list[str]:
        return [body["title"] for body in self.taken]

    def kinds(self) -> list[tuple[str, str]]:
        return [(body["kind"], body["cause"]) for body in self.taken]

    def __enter__(self) -> Hook:
        threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class Smtp:
    """Takes mails and keeps them; with `refuse` it takes none."""

    def __init__(self) -> None:
        self.refuse = False
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        smtp = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self._say("220 test")
                recipients: list[str] = []
                while line := self.rfile.readline().decode().strip():
                    verb = line.upper()
                    if verb.startswith(("EHLO", "HELO")):
                        self._say("250 test")
                    elif verb.startswith("MAIL") and smtp.refuse:
                        self._say("451 4.3.0 out of order")
                    elif verb.startswith("RCPT"):
                        recipients.append(line.partition("<")[2].rstrip("> "))
                        self._say("250 ok")
                    elif verb == "DATA":
                        self._say("354 go on")
                        smtp._keep(self._data(), recipients)
                        self._say("250 ok")
                    elif verb == "QUIT":
                        self._say("221 bye")
                        return
                    else:
                        self._say("250 ok")

            def _data(self) -> bytes:
                lines: list[bytes] = []
                while (line := self.rfile.readline()).rstrip(b"\r\n") != b".":
                    lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
                return b"".join(lines)

            def _say(self, line: str) -> None:
                self.wfile.write(f"{line}\r\n".encode())

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)

    def _keep(self, raw: bytes, recipients: list[str]) -> None:
        parsed = email.message_from_bytes(raw, policy=email.policy.default)
        self.mails.append(parsed)
        self.recipients.append(list(recipients))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]

    def connection(self) -> str:
        """As Airflow reads it, and so do we."""
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "offpeak@example.com"}
        return json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": self.port, "extra": extra})

    def __enter__(self) -> Smtp:
        threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
