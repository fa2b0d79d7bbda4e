"""Watching one canary: counts what the edge logged, adds load, and stops at the first sure fault.

- Only observed time counts towards the window: it is written down at every tick, and a worker that was killed goes
  on from there with the same access log. A tick that came late counts as two intervals at most.
- A window that ends without a pass and without a sure fault is watched for as long again, once: a hiccup of the
  machine must not decide about a release.
- A finished window is not watched again: its analysis is kept until the release is deployed anew.
- On a fault the canary loses its traffic at once, before anything else is decided.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from ripple.delivery.canary import Analysis, Observed, Stats, Window, analyse
from ripple.delivery.environments import Environments
from ripple.delivery.instances import Target
from ripple.delivery.load import Generator
from ripple.delivery.samples import AccessLog, Position, Sample
from ripple.model.application import Canary
from ripple.model.gate import Verdict
from ripple.stack.files import write_whole

RECENT_SECONDS = 8.0
RECENT_INTERVALS = 3
LATE_INTERVALS = 2
MAX_LATENCIES = 20_000
"""Latencies kept per side; the counts are over all requests, the percentiles over the latest ones."""

Keep = Callable[[Mapping[str, Any]], Awaitable[None]]


@dataclass
class Side:
    """What was seen of one instance: counts since the start, and the latest requests."""

    requests: int = 0
    errors: int = 0
    latest: deque[Sample] = field(default_factory=lambda: deque(maxlen=MAX_LATENCIES))

    def add(self, sample: Sample) -> None:
        """Count one request."""
        self.requests += 1
        self.errors += sample.failed
        self.latest.append(sample)

    def whole(self) -> Window:
        """Everything since the start."""
        return Window(self.requests, self.errors, tuple(sample.seconds for sample in self.latest))

    def recent(self, since: float) -> Window:
        """What was answered at or after ``since`` (Unix seconds)."""
        return Window.of((sample.failed, sample.seconds) for sample in self.latest if sample.at >= since)


@dataclass
class Progress:
    """How far a window came; kept on disk."""

    elapsed_seconds: float
    start: Position
    finished: Analysis | None = None

    def save(self, path: Path) -> None:
        """Write it down."""
        write_whole(path, json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Progress | None:
        """What was written down, None when nothing was."""
        try:
            row = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        return cls(row["elapsed_seconds"], Position(**row["start"]), _analysis(row["finished"]))


async def run_canary(environments: Environments, target: Target, plan: Canary, keep: Keep) -> Analysis:
    """Watch a deployed canary to the end of its window, or to its first sure fault.

    ``keep`` gets one sample per interval: ``canary`` and ``baseline`` (counts and rates, baseline None without
    one), ``verdict``, ``reasons`` and ``elapsed_seconds``. Called again after a crash it goes on, after
    the end it gives the same answer.
    """
    path = environments.places.progress(target.application, target.environment, target.release.digest)
    log_path = environments.edge.log_path(target.application, target.environment)
    progress = Progress.load(path)
    if progress is not None and progress.finished is not None:
        return progress.finished
    if progress is None:
        log = AccessLog.at_end(log_path)
        progress = Progress(0.0, log.position)
        progress.save(path)
    else:
        log = AccessLog(log_path, progress.start)
    watch = await _Watch.begin(environments, target, plan, log, progress)
    try:
        async with _load(await environments.url(target.application, target.environment), target) as generator:
            analysis = await _watched(watch, generator, keep, path)
    finally:
        log.close()
    if analysis.verdict is Verdict.FAIL:
        await environments.divert(target)
    replace(progress, elapsed_seconds=analysis.elapsed_seconds, finished=analysis).save(path)
    return analysis


@dataclass
class _Watch:
    target: Target
    plan: Canary
    log: AccessLog
    progress: Progress
    sockets: Mapping[str, Side]
    canary: Side
    baseline: Side | None
    real: deque[float] = field(default_factory=deque)

    @classmethod
    async def begin(
        cls, environments: Environments, target: Target, plan: Canary, log: AccessLog, progress: Progress
    ) -> _Watch:
        stable = await environments.stable(target.application, target.environment)
        place = (target.application, target.environment)
        canary, baseline = Side(), None
        sockets = {str(environments.places.socket(*place, target.release.digest)): canary}
        if stable is not None and stable.release != target.release.digest:
            baseline = Side()
            sockets[str(environments.places.socket(*place, stable.release))] = baseline
        return cls(target, plan, log, progress, sockets, canary, baseline)

    @property
    def last_seconds(self) -> float:
        """The window, the soak in which a good canary is watched further, and the window for a second look."""
        return 2 * self.plan.window_seconds + self.plan.soak_seconds

    @property
    def end_seconds(self) -> float:
        """When the next decision is due."""
        first = self.plan.window_seconds + self.plan.soak_seconds
        return first if self.progress.elapsed_seconds < first else self.last_seconds

    def count(self, samples: Iterable[Sample]) -> None:
        for sample in samples:
            side = self.sockets.get(sample.upstream)
            if side is not None:
                side.add(sample)
            if not sample.synthetic:
                self.real.append(sample.at)

    def real_rate(self, now: float) -> float:
        """Real requests per second over the last seconds."""
        while self.real and self.real[0] < now - RECENT_SECONDS:
            self.real.popleft()
        return len(self.real) / RECENT_SECONDS

    def judge(self, now: float, *, ended: bool) -> Analysis:
        since = now - max(RECENT_SECONDS, RECENT_INTERVALS * self.plan.interval_seconds)
        observed = Observed(
            self.canary.whole(),
            self.baseline.whole() if self.baseline else None,
            self.canary.recent(since),
            self.baseline.recent(since) if self.baseline else None,
        )
        found = analyse(observed, self.target.slo, self.plan.min_samples, ended=ended)
        return replace(found, elapsed_seconds=round(self.progress.elapsed_seconds, 3))


async def _watched(watch: _Watch, generator: Generator, keep: Keep, path: Path) -> Analysis:
    while True:
        end = watch.end_seconds
        await _tick(watch, end)
        now, ended = time.time(), watch.progress.elapsed_seconds >= end
        analysis = watch.judge(now, ended=ended)
        second_look = ended and analysis.verdict is not Verdict.PASS and end < watch.last_seconds
        if second_look:
            analysis = watch.judge(now, ended=False)
        generator.rate_per_second = max(0.0, watch.target.load.rate_per_second - watch.real_rate(now))
        watch.progress.save(path)
        await keep(sample_row(analysis))
        if analysis.verdict is Verdict.FAIL or (ended and not second_look):
            return analysis


async def _tick(watch: _Watch, end: float) -> None:
    """Watch for one interval, or what is left until ``end`` seconds."""
    began, interval = anyio.current_time(), watch.plan.interval_seconds
    await anyio.sleep(min(interval, max(end - watch.progress.elapsed_seconds, 0)))
    watch.count(await anyio.to_thread.run_sync(watch.log.read))
    watch.progress.elapsed_seconds += min(anyio.current_time() - began, LATE_INTERVALS * interval)


def sample_row(analysis: Analysis) -> dict[str, Any]:
    """One live sample, as the timeline shows it."""
    return {
        "canary": asdict(analysis.canary),
        "baseline": asdict(analysis.baseline) if analysis.baseline else None,
        "verdict": analysis.verdict.value,
        "reasons": list(analysis.reasons),
        "elapsed_seconds": analysis.elapsed_seconds,
    }


@contextlib.asynccontextmanager
async def _load(url: str, target: Target) -> AsyncIterator[Generator]:
    """Requests for as long as the block runs. No task group: the block's errors must leave it as they are."""
    generator = Generator(url, target.load)
    task = asyncio.create_task(generator.run())
    try:
        yield generator
    finally:
        task.cancel()
        await asyncio.wait([task])


def _analysis(row: Mapping[str, Any] | None) -> Analysis | None:
    if row is None:
        return None
    return Analysis(
        Verdict(row["verdict"]),
        tuple(row["reasons"]),
        Stats(**row["canary"]),
        Stats(**row["baseline"]) if row["baseline"] else None,
        row["elapsed_seconds"],
    )
