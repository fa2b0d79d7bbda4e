"""What a change is made to: a Git repository with a ``ripple.app.yaml``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Build(_Section):
    """How to build; an application without a build leaves it out."""

    command: tuple[str, ...] = Field(min_length=1)
    timeout_seconds: float = Field(default=120, gt=0, le=3600)


class Tests(_Section):
    """The commands whose exit status 0 means pass, and the folders that hold the tests."""

    unit: tuple[str, ...] = Field(min_length=1)
    integration: tuple[str, ...] = ()
    paths: tuple[str, ...] = ("tests",)
    timeout_seconds: float = Field(default=120, gt=0, le=3600)


class Ready(_Section):
    """When a started instance may receive traffic: a path that answers 2xx."""

    http: str = Field(pattern=r"^/")
    startup_seconds: float = Field(default=20, gt=0, le=600)


class Run(_Section):
    """How to start one instance. It listens on 127.0.0.1 and the port in the environment variable PORT."""

    command: tuple[str, ...] = Field(min_length=1)
    port: str = "http"
    ready: Ready
    memory_bytes: int = Field(default=1 << 30, ge=1 << 24)


class Metrics(_Section):
    """Where the application shows Prometheus metrics."""

    path: str = Field(default="/metrics", pattern=r"^/")


class Slo(_Section):
    """What the canary may not exceed: errors as a fraction of requests, latency in seconds."""

    error_rate_max: float = Field(default=0.01, ge=0, le=1)
    latency_p95_seconds_max: float = Field(default=0.5, gt=0)


class Load(_Section):
    """Synthetic requests for environments without traffic: GET paths, requests per second, concurrency."""

    paths: tuple[str, ...] = ("/",)
    rate_per_second: float = Field(default=20, gt=0, le=500)
    concurrency: int = Field(default=4, ge=1, le=64)


class Toolchain(_Section):
    """What the sandbox needs: a hash-locked requirements file, installed from wheels only."""

    python: str | None = None


class ApplicationManifest(_Section):
    """``ripple.app.yaml``, parsed. Paths are relative to the repository root."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    toolchain: Toolchain = Toolchain()
    build: Build | None = None
    test: Tests
    run: Run
    metrics: Metrics = Metrics()
    slo: Slo = Slo()
    load: Load = Load()
    evals: str | None = None
    config: str | None = None
    environments: str = "environments/"


class Canary(_Section):
    """How a release is tried on part of the traffic. Weight in percent, durations in seconds."""

    weight: int = Field(default=20, ge=1, le=99)
    window_seconds: float = Field(default=30, gt=0, le=86_400)
    interval_seconds: float = Field(default=1, gt=0, le=60)
    min_samples: int = Field(default=20, ge=1)
    soak_seconds: float = Field(default=0, ge=0, le=86_400)


class EnvironmentOverlay(_Section):
    """``environments/NAME.yaml``: what differs in one environment. ``canary: null`` deploys at once."""

    canary: Canary | None = None
    env: dict[str, str] = {}
    slo: Slo | None = None
    load: Load | None = None
    require_approval: bool = False
