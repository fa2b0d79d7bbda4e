"""Package URLs (ECMA-427): how a lock says which package it means without naming a registry's host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote

from ripple.model.errors import Invalid

SCHEME = "pkg:"


@dataclass(frozen=True)
class PackageUrl:
    """``pkg:KIND/NAME@VERSION?QUALIFIERS``; ``name`` holds the namespace too, like ``@scope/name``."""

    kind: str
    name: str
    version: str = ""
    qualifiers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        name = "/".join(quote(part, safe="") for part in self.name.split("/"))
        version = f"@{quote(self.version, safe=':+')}" if self.version else ""
        parts = [f"{key}={quote(value, safe=':/+,')}" for key, value in sorted(self.qualifiers.items()) if value]
        return f"{SCHEME}{self.kind}/{name}{version}{'?' + '&'.join(parts) if parts else ''}"

    @property
    def last(self) -> str:
        """The name without its namespace."""
        return self.name.rpartition("/")[2]


def parse_purl(text: str) -> PackageUrl:
    """The package URL a text spells; Invalid if it spells none."""
    kind, slash, rest = text.removeprefix(SCHEME).partition("/")
    name, _, query = rest.partition("?")
    name, _, version = name.rpartition("@") if "@" in name else (name, "", "")
    if not text.startswith(SCHEME) or not slash or not kind or not name:
        raise Invalid(f"{text!r} is not a package URL; write pkg:KIND/NAME@VERSION")
    # A plus sign is itself in a package URL, never a space.
    qualifiers = dict(parse_qsl(query.replace("+", "%2B")))
    return PackageUrl(kind, unquote(name), unquote(version), qualifiers)
