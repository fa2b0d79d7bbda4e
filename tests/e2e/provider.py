"""A model endpoint that a test scripts: real HTTP in the OpenAI shape, one answer per model name.

It stands for a capable provider. What Ripple does with it, from the client library to the vote, is the real thing.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = str | Callable[[dict[str, Any]], str]
LOCAL = tuple(f"local-{number}" for number in range(1, 6))
CLOUD = ("cloud-1", "cloud-2")


@dataclass
class Endpoint:
    """The server. ``replies`` maps a model to the text it answers, or to a function of the request."""

    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        """Its base URL, as ``./ripple provider add --base-url`` takes it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def all_say(self, *texts: str) -> None:
        """The seven voters answer these texts in turn; one text means they all agree."""
        for number, model in enumerate((*LOCAL, *CLOUD)):
            self.replies[model] = texts[number % len(texts)]

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            endpoint.asked.append(request)
            reply = endpoint.replies.get(request["model"])
            if reply is None:
                self._send(404, {"error": {"message": f"no model {request['model']}"}})
                return
            text = reply if isinstance(reply, str) else reply(request)
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            shape = {
                "id": "x",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": request["model"],
            }
            self._send(200, {**shape, "choices": [choice], "usage": usage})

        def _send(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                return  # the client went away, as it should when an answer is too long or too late

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            return

    return Handler
