"""Providers that are command lines: Claude Code, Codex, GitHub Copilot, Abacus AI. How each is called is its row.

- The prompt goes in on standard input, so neither it nor a key is ever in an argument list.
- The command runs in an empty folder, without tools, and sees only its own variables.
- With a stored key its HOME is that empty folder; without one it is the operator's, whose sign-in it uses.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ripple.inference.adapters.exchange import MAX_BODY_BYTES, Adapter, Call, Reply, tokens
from ripple.inference.adapters.process import Ended, run_command
from ripple.inference.catalogue import AdapterRow
from ripple.inference.request import Request
from ripple.model.errors import Unavailable

MAX_SAID = 300
# Spelled out, not copied: what else the environment holds (other keys, tokens) is none of an agent's business.
PASSED = (
    *("LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)


class CommandLine:
    """Asks by running the command of ``row``."""

    def __init__(self, row: AdapterRow) -> None:
        self._row = row

    def lacking(self) -> str:
        """That the command is not installed, when it is not."""
        if self._program():
            return ""
        return f"{self._row.command[0]} is not installed on this machine; {self._row.install}"

    async def ask(self, call: Call) -> Reply:
        """One answer; see :class:`Adapter`."""
        program = self._program()
        if program is None:
            raise Unavailable(self.lacking())
        with tempfile.TemporaryDirectory(prefix="ripple-ask-", ignore_cleanup_errors=True) as folder:
            (Path(folder) / "work").mkdir()
            command = [program, *self._arguments(call)]
            given = _prompt(call.request).encode()
            ended = await run_command(
                command, self._environment(call, folder), Path(folder) / "work", given, MAX_BODY_BYTES
            )
        if not ended.whole:
            return Reply(ended.output, problem=f"the answer is longer than {MAX_BODY_BYTES} bytes and was cut")
        if ended.status != 0:
            raise Unavailable(f"{self._row.command[0]} exited with status {ended.status}: {_said(ended)}")
        return _READERS[self._row.reads](ended.output)

    def _program(self) -> str | None:
        return shutil.which(self._row.command[0], path=_path())

    def _arguments(self, call: Call) -> list[str]:
        extra = self._row.base_url_arguments if call.voter.base_url else ()
        return [_filled(part, call) for part in (*self._row.command[1:], *extra)]

    def _environment(self, call: Call, folder: str) -> dict[str, str]:
        row = self._row
        env = {name: os.environ[name] for name in PASSED if name in os.environ}
        home = folder if call.key else str(Path.home())
        env |= {"PATH": _path(), "HOME": home, "TMPDIR": folder, **row.env}
        name = row.key_env
        if call.voter.base_url:
            env |= {name: _filled(value, call) for name, value in row.base_url_env.items()}
            name = row.base_url_key_env or name
        if call.key and name:
            env[name] = call.key.get_secret_value()
        if call.traceparent:
            env["TRACEPARENT"] = call.traceparent
        return env


def _path() -> str:
    """The operator's PATH, then the environment Ripple runs in, which has the Node that such commands need."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)])


def _filled(part: str, call: Call) -> str:
    return part.replace("{model}", call.voter.model).replace("{base_url}", call.voter.base_url or "")


def _prompt(request: Request) -> str:
    parts = [message["content"] for message in request.messages]
    schema = json.dumps(request.schema, separators=(",", ":"))
    return "\n\n".join([*parts, f"Answer with one JSON object of this JSON schema and nothing else:\n{schema}\n"])


def _said(ended: Ended) -> str:
    text = " ".join((ended.noise.strip() or ended.output.strip()).decode(errors="replace").split())
    return text[-MAX_SAID:] or "it said nothing"


def _text(output: bytes) -> Reply:
    return Reply(output, output.decode(errors="replace"))


def _result(output: bytes) -> Reply:
    """One JSON object whose ``result`` is the answer (Claude Code, Abacus AI)."""
    try:
        found = json.loads(output)
        text, failed = found["result"], bool(found.get("is_error"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Reply(output, problem="the command's output is not the JSON result it promises")
    if failed or not isinstance(text, str):
        raise Unavailable(f"the command reports an error: {' '.join(str(text).split())[:MAX_SAID]}")
    return _counted(output, text, found.get("usage"))


def _codex_events(output: bytes) -> Reply:
    """One JSON event a line; the last message of the agent is the answer."""
    text, usage = None, None
    for line in output.splitlines():
        try:
            event = json.loads(line)
            item = event.get("item") or {}
            if event.get("type") == "item.completed" and item.get("type") == "agent_message":
                text = str(item["text"])
            elif event.get("type") == "turn.completed":
                usage = event.get("usage")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
    if text is None:
        return Reply(output, problem="the command's events hold no message of the agent")
    return _counted(output, text, usage)


def _counted(output: bytes, text: str, usage: Any) -> Reply:
    counts: Mapping[str, Any] = usage if isinstance(usage, Mapping) else {}
    return Reply(output, text, tokens(counts.get("input_tokens")), tokens(counts.get("output_tokens")))


_READERS: Mapping[str, Callable[[bytes], Reply]] = {
    "text": _text,
    "result": _result,
    "codex-events": _codex_events,
}
_: type[Adapter] = CommandLine
