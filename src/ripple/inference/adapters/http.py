"""Any server that speaks OpenAI's chat completions: llama.cpp, LocalAI, OpenRouter, and the API it is named after.

Plain httpx and no client library: the answer is read as a stream and cut at a limit, which the library's own
reading does not allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, Field, ValidationError

from ripple.inference.adapters.exchange import MAX_BODY_BYTES, Adapter, Call, Reply
from ripple.inference.catalogue import LOOPBACK
from ripple.model.errors import Invalid, Unavailable

CONNECT_SECONDS = 10.0
MAX_SAID = 300
_UNDERSTOOD_BY_MOST = ("model", "messages", "max_tokens", "stream")


class ChatCompletions:
    """Asks ``POST {base_url}/chat/completions``; the schema goes along where the voter takes one."""

    def lacking(self) -> str:
        """Nothing: the server is elsewhere."""
        return ""

    async def ask(self, call: Call) -> Reply:
        """One answer; see :class:`Adapter`. A server that refuses the schema is asked once more without it."""
        base = call.voter.base_url
        if not base:
            raise Invalid(f"{call.voter.name} has no base URL; add it again with --base-url")
        # Proxies of the environment are for what lies beyond this machine.
        outside = urlsplit(base).hostname not in LOOPBACK
        timeout = httpx.Timeout(call.voter.timeout_seconds, connect=CONNECT_SECONDS)
        async with httpx.AsyncClient(timeout=timeout, trust_env=outside, headers=_headers(call)) as client:
            url = f"{base.rstrip('/')}/chat/completions"
            payload = _payload(call)
            status, body, whole = await _post(client, url, payload)
            if status in (400, 422):
                plain = _plainer(payload, body)
                status, body, whole = await _post(client, url, plain)
        if not whole:
            return Reply(body, problem=f"the answer is longer than {MAX_BODY_BYTES} bytes and was cut")
        if status != 200:
            raise Unavailable(f"HTTP {status}: {_said(body)}")
        return _reply(body)


def _headers(call: Call) -> dict[str, str]:
    # No compression: what is read from the wire is what is counted against the limit.
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    if call.key is not None:
        headers["authorization"] = f"Bearer {call.key.get_secret_value()}"
    if call.traceparent:
        headers["traceparent"] = call.traceparent
    return headers


def _payload(call: Call) -> dict[str, Any]:
    request = call.request
    payload: dict[str, Any] = {
        "model": call.voter.model,
        "messages": [dict(message) for message in request.messages],
        "max_tokens": min(request.max_tokens, call.voter.output_tokens),
        "temperature": request.temperature,
        "seed": request.seed,
        "stream": False,
    }
    if call.voter.takes_schema:
        form = {"name": request.schema_name, "strict": True, "schema": dict(request.schema)}
        payload["response_format"] = {"type": "json_schema", "json_schema": form}
    return payload


def _plainer(payload: Mapping[str, Any], refusal: bytes) -> dict[str, Any]:
    """What every server understands; some want the limit of tokens under its newer name, and say so."""
    plain = {name: payload[name] for name in _UNDERSTOOD_BY_MOST}
    if b"max_completion_tokens" in refusal:
        plain["max_completion_tokens"] = plain.pop("max_tokens")
    return plain


async def _post(client: httpx.AsyncClient, url: str, payload: Mapping[str, Any]) -> tuple[int, bytes, bool]:
    """Status, body up to the limit, and whether that is all of it."""
    body = bytearray()
    try:
        async with client.stream("POST", url, json=payload) as response:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    return response.status_code, bytes(body[:MAX_BODY_BYTES]), False
            return response.status_code, bytes(body), True
    except httpx.TimeoutException as error:
        raise Unavailable(f"timeout: {type(error).__name__} of {url}") from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise Unavailable(f"cannot reach {url}: {error or type(error).__name__}") from error


class _Part(BaseModel):
    type: str = ""
    text: str = ""


class _Message(BaseModel):
    content: str | list[_Part]

    @property
    def text(self) -> str:
        """The words, whether they come as one string or in parts of which some are text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if part.type == "text")


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = Field(default=None, ge=0, lt=1 << 40)
    completion_tokens: int | None = Field(default=None, ge=0, lt=1 << 40)


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


def _reply(body: bytes) -> Reply:
    try:
        found = _Completion.model_validate_json(body)
    except ValidationError:
        return Reply(body, problem=f"the server's answer is no chat completion: {_said(body)}")
    choice, usage = found.choices[0], found.usage or _Usage()
    cut = "the answer was cut at its limit of tokens" if choice.finish_reason == "length" else ""
    text = "" if cut else choice.message.text
    return Reply(body, text, usage.prompt_tokens, usage.completion_tokens, cut)


def _said(body: bytes) -> str:
    text = " ".join(body[: 4 * MAX_SAID].decode(errors="replace").split())
    return text[:MAX_SAID] or "nothing"


_: type[Adapter] = ChatCompletions
