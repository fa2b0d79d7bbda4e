"""What every model of a manifest has in common: frozen, and no unknown key."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Document(Section):
    """A whole file; an editor finds its schema by ``$schema``, and ``description`` says whose content it is."""

    schema_: str = Field(default="", alias="$schema")
    description: str = ""
