"""Synthetic requests through the edge, where an environment has too little traffic to judge a canary by.

- Open loop: requests start on a schedule, not when the one before is done. At most ``concurrency`` are under way;
  a slot nobody was free for is dropped, never made up for, so a slow application is not buried.
- Paths are drawn at random: a fixed order could fall in step with the edge's turns, and each instance would only
  ever see some of the paths.
- Loopback only. Ends by itself after its time, and at once when its task is cancelled.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio
import httpx

from ripple.delivery.edge import SYNTHETIC_HEADER
from ripple.model.application import Load
from ripple.model.errors import Refused

REQUEST_SECONDS = 10.0
MAX_SECONDS = 86_400.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass
class LoadCount:
    """What was sent: requests answered, and how many got no answer or a server error."""

    answered: int = 0
    failed: int = 0


class Generator:
    """Sends ``load`` to ``url``. ``rate_per_second`` may be changed while it runs; 0 pauses it."""

    def __init__(self, url: str, load: Load) -> None:
        if urlsplit(url).hostname not in LOOPBACK:
            raise Refused(f"load is generated against this machine only, not against {url}")
        self.rate_per_second = load.rate_per_second
        self.count = LoadCount()
        self._url = url.rstrip("/")
        self._load = load
        self._next = 0.0

    async def run(self, seconds: float = MAX_SECONDS) -> LoadCount:
        """Send requests for ``seconds`` (at most a day); returns what was sent."""
        limits = httpx.Limits(max_connections=self._load.concurrency)
        headers = {SYNTHETIC_HEADER: "1", "user-agent": "ripple-load"}
        async with (
            httpx.AsyncClient(
                base_url=self._url, limits=limits, headers=headers, timeout=REQUEST_SECONDS, trust_env=False
            ) as client,
            anyio.create_task_group() as group,
        ):
            self._next = anyio.current_time()
            end = self._next + min(seconds, MAX_SECONDS)
            for _ in range(self._load.concurrency):
                group.start_soon(self._work, client, end)
        return self.count

    async def _work(self, client: httpx.AsyncClient, end: float) -> None:
        while (slot := self._take()) < end:
            await anyio.sleep_until(slot)
            if self.rate_per_second <= 0:
                continue
            await self._send(client)

    def _take(self) -> float:
        """The next moment somebody has to send at."""
        slot = max(self._next, anyio.current_time())
        self._next = slot + (
            1 / self.rate_per_second if self.rate_per_second > 0 else 0.5 / self._load.concurrency
        )
        return slot

    async def _send(self, client: httpx.AsyncClient) -> None:
        path = random.choice(self._load.paths)  # noqa: S311 - not a secret
        try:
            answer = await client.get(path)
        except (httpx.HTTPError, httpx.InvalidURL):
            self.count.failed += 1
            return
        self.count.answered += 1
        self.count.failed += answer.status_code >= 500
