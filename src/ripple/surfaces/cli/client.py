"""The command line's connection to the running instance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ripple.model.errors import RippleError, Unavailable
from ripple.model.paths import Home

if TYPE_CHECKING:
    import httpx

TIMEOUT_SECONDS = 30.0


class Api:
    """Calls the API of the instance in RIPPLE_HOME as the local operator."""

    def __init__(self, home: Home) -> None:
        try:
            port = json.loads(home.endpoints.read_text())["api"]["http"]
            token = home.operator_token.read_text().strip()
        except (OSError, KeyError, ValueError) as error:
            raise Unavailable(f"no instance runs in {home.root}; start it with ./ripple up") from error
        # Imported late: status, logs and down ask the supervisor alone and would wait a tenth of a second for it.
        import httpx

        self._failure = httpx.HTTPError
        self.url = f"http://127.0.0.1:{port}"
        headers = {"authorization": f"Bearer {token}"}
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer of a GET."""
        return self._call("GET", path, params={key: value for key, value in query.items() if value is not None})

    def post(self, path: str, body: Any = None) -> Any:
        """The JSON answer of a POST, None when it has no body."""
        return self._call("POST", path, json=body if body is not None else {})

    def delete(self, path: str) -> Any:
        """The JSON answer of a DELETE."""
        return self._call("DELETE", path)

    def events(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Server-sent events as (kind, data) until the server says ``end``. The caller reconnects."""
        with self._client.stream("GET", path, timeout=TIMEOUT_SECONDS) as response:
            if response.is_error:
                response.read()
                raise _error_of(response)
            kind = ""
            for line in response.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield kind, json.loads(line.removeprefix("data: "))

    def _call(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = self._client.request(method, path, **options)
        except self._failure as error:
            reason = f"{type(error).__name__}: {error}"
            raise Unavailable(f"the instance at {self.url} does not answer ({reason}); ./ripple status") from error
        if response.is_error:
            raise _error_of(response)
        return response.json() if response.content else None


def _error_of(response: httpx.Response) -> RippleError:
    try:
        found = response.json()["error"]
        error = RippleError(found["message"], code=found["code"])
        error.retryable = found["retryable"]
    except (ValueError, KeyError, TypeError):
        return RippleError(f"{response.request.url} answered {response.status_code}: {response.text[:200]}")
    return error
