"""A server that speaks the judge's protocol on this machine, well or badly, as each test scripts it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ivcore.behaviour.llm_judge import JudgeSettings

__all__ = ["KEY", "Reply", "Script", "Seen", "Stub", "say", "start"]

KEY = "sk-do-not-tell-0123456789"


@dataclass(frozen=True)
class Reply:
    """What the stub sends after ``delay`` seconds; ``drip``: then 100 blanks of a longer body, so far apart."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0


@dataclass(frozen=True)
class Seen:
    """What the stub was sent."""

    number: int
    """From 0."""
    path: str
    headers: dict[str, str]
    document: dict[str, Any]

    @property
    def data(self) -> dict[str, str]:
        """What the user message gives as JSON, on a line of its own."""
        found: dict[str, str] = json.loads(self.document["messages"][1]["content"].split("\n")[0])
        return found


Script = Callable[[Seen], Reply]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        seen = self.server.note(self.path, dict(self.headers), json.loads(content))
        reply = self.server.script(seen)
        self.server.closing.wait(reply.delay)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body) if not reply.drip else 10**6))
        self.end_headers()
        self.wfile.write(reply.body)
        for _ in range(100 if reply.drip else 0):
            self.server.closing.wait(reply.drip)
            self.wfile.write(b" ")
            self.wfile.flush()
        self.server.finished.append(seen.data["answer"])

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Stub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: Script = lambda seen: say("yes")
        self.seen: list[Seen] = []
        self.finished: list[str] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()

    def note(self, path: str, headers: dict[str, str], document: dict[str, Any]) -> Seen:
        with self._lock:
            self.seen.append(Seen(len(self.seen), path, headers, document))
            return self.seen[-1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the tests."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def settings(self) -> JudgeSettings:
        return JudgeSettings(f"http://{self.host}/v1", "some-judge", KEY, timeout=10.0)


def start() -> Iterator[Stub]:
    stub = Stub()
    thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stub
    stub.closing.set()
    stub.shutdown()
    thread.join()
    stub.server_close()


def say(content: Any, **fields: Any) -> Reply:
    return Reply(json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode(), **fields)
