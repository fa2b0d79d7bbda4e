"""A component: something the supervisor starts, probes, restarts and stops. Parsed from manifests/components."""

from __future__ import annotations

import enum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Probe(_Row):
    """How to ask whether a component is up. ``target`` is a template: ``{ports.http}``, ``{home}``, ``{state}``.

    What passes:

    - ``http``: a 2xx answer of an URL (``http+unix:///path/to.sock|/healthz`` for a unix socket).
    - ``tcp``: an accepted connection of ``host:port``.
    - ``file``: an existing path.
    - ``exec``: exit status 0 of ``command``.
    - ``temporal``: the default namespace of ``host:port`` counts its flows.
    - ``sql``: ``SELECT 1`` answered by the PostgreSQL server at ``host:port`` or at the socket
      ``/folder/.s.PGSQL.5432``; where it asks for a password and the probe has none, being asked is enough.
    - ``redis``: PONG of ``host:port`` or of the socket ``/path``; ``nats``: the same after INFO and CONNECT. Where
      it wants a password and the probe has none, being told so is enough.
    - ``openai``: at least one model listed below a base URL such as ``http://host:port/v1``.
    - ``mcp``: the initialize handshake of an MCP server over streamable HTTP, its session ended again.

    ``user`` and ``database`` are those of ``sql``; ``secret_file``, a template, is a file with the password or
    token of ``sql``, ``redis``, ``nats``, ``openai`` and ``mcp``.
    """

    kind: Literal["http", "tcp", "exec", "temporal", "file", "sql", "redis", "nats", "openai", "mcp"]
    target: str = ""
    command: tuple[str, ...] = ()
    user: str = ""
    database: str = ""
    secret_file: str = ""
    period_seconds: float = Field(default=0.05, gt=0)
    timeout_seconds: float = Field(default=1.0, gt=0)
    failures: int = Field(default=3, ge=1)


class Restart(_Row):
    """When to start again. Delays are exponential: initial * 2^n, at most ``max_seconds``, with jitter.

    After ``give_up_after`` restarts within ``window_seconds`` the component stays down in state ``gave_up``.
    """

    when: Literal["always", "on_failure", "never"] = "always"
    initial_seconds: float = 0.1
    max_seconds: float = 10.0
    window_seconds: float = 120.0
    give_up_after: int = 10


class Component(_Row):
    """One row. ``command``, ``env`` values, ``files`` contents and probe targets are templates.

    Template names: ``{bin}``, ``{tree}`` and ``{venv}`` where its system's programs are, ``{node}``, ``{python}``
    Ripple's own interpreter, ``{home}`` RIPPLE_HOME, ``{state}`` the component's own state folder, ``{run}`` the
    socket folder, ``{ports.NAME}`` an allocated port of this component, ``{peer.ID.NAME}`` a port of another one.

    It starts once all that it ``requires`` is ready, or at once where it ``waits_itself``; it stops before them.
    With ``cascade`` whatever requires it is started again when it is.

    Four questions, each asked for another reason: ``startup`` (has it started? within ``startup_seconds``, or it
    is started again), ``ready`` (may others use it now?), ``live`` (is it still alive? if not, it is started
    again), ``deep`` (does it do its work? asked on demand only). Without ``startup``, being ready is having
    started. ``memory_mib`` is what it needs of the machine, 0 if nobody measured it.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,80}$")
    name: str
    version: str = ""
    role: str = ""
    licence: str = ""
    upstream: str = ""
    command: tuple[str, ...]
    env: dict[str, str] = {}
    pass_env: tuple[str, ...] = ()
    files: dict[str, str] = {}
    ports: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    endpoints: dict[str, str] = {}
    requires: tuple[str, ...] = ()
    waits_itself: bool = False
    cascade: bool = False
    group: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9-]{0,40})?$")
    memory_mib: int = Field(default=0, ge=0)
    startup_seconds: float = Field(default=30.0, gt=0)
    startup: Probe | None = None
    ready: Probe | None = None
    live: Probe | None = None
    deep: Probe | None = None
    restart: Restart = Restart()
    stop_signal: Literal["TERM", "INT"] = "TERM"
    stop_seconds: float = 5.0
    enabled: bool = True


class ComponentState(enum.StrEnum):
    """What the supervisor knows of a component."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    BACKOFF = "backoff"
    GAVE_UP = "gave_up"
    STOPPING = "stopping"
    STOPPED = "stopped"
    EXITED = "exited"


class ComponentStatus(BaseModel):
    """One element of ``ripple status --json`` → ``components``. ``since`` is when it came into this state."""

    id: str
    name: str
    version: str
    state: ComponentState
    pid: int | None = None
    ready_seconds: float | None = None
    rss_bytes: int | None = None
    endpoints: dict[str, str] = {}
    waiting_for: list[str] = []
    restarts: int = 0
    reason: str = ""
    since: str = ""
    group: str = ""


class Status(BaseModel):
    """``ripple status --json``."""

    ready: bool
    profile: str
    url: str
    components: list[ComponentStatus]
