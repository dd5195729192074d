"""Answers to the probe, right and wrong, and a server that gives them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from django_ratelimit_gcra.management.probes import Answer
from django_ratelimit_gcra.probing import HEADER

Script = list[tuple[int, dict[str, str], bytes]]


def answer(status: int = 200, body: dict[str, Any] | None = None, **headers: object) -> Answer:
    named = {name.replace("_", "-"): str(value) for name, value in headers.items() if value is not None}
    return Answer(status, named, {} if body is None else body)


def admitted(remaining: int, **headers: object) -> Answer:
    given = {"x_ratelimit_limit": 2, "x_ratelimit_policy": "probe", "x_ratelimit_remaining": remaining, **headers}
    return answer(200, {"run": "probe:1", "modes": {"probe": "enforce"}}, **given)


def refused(**headers: object) -> Answer:
    given = {"x_ratelimit_limit": 2, "x_ratelimit_policy": "probe", "x_ratelimit_remaining": 0, **headers}
    given = {"retry_after": 7, "cache_control": "no-store", "ratelimit_policy": '"probe";q=2;w=20', **given}
    return answer(429, {"code": "rate_limited"}, **given)


class Liar(BaseHTTPRequestHandler):
    """A server that answers what it was told to, whatever is asked; the last answer again and again."""

    script: Script = []
    heard: list[tuple[str, str | None, str | None]] = []

    def do_GET(self) -> None:
        """Give the next answer."""
        self.heard.append((self.path, self.headers["Host"], self.headers[HEADER]))
        status, headers, body = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def lying(*script: Answer | bytes) -> Iterator[str]:
    """The address of a server that gives these answers."""
    Liar.heard, Liar.script = [], []
    for one in script:
        if isinstance(one, bytes):
            Liar.script.append((200, {}, one))
        else:
            Liar.script.append((one.status, dict(one.headers), json.dumps(one.body).encode()))
    with ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
