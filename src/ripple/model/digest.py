"""Canonical bytes and digests: one function each for the whole project."""

from __future__ import annotations

import hashlib
from typing import Any, NewType

import rfc8785

Digest = NewType("Digest", str)
"""``sha256:`` followed by 64 lower-case hex digits."""


def canonical_json(value: Any) -> bytes:
    """The one byte string of a JSON value (RFC 8785): equal values give equal bytes."""
    return rfc8785.dumps(value)


def digest_bytes(data: bytes) -> Digest:
    """SHA-256 of ``data`` as a :data:`Digest`."""
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


def digest_json(value: Any) -> Digest:
    """SHA-256 of the canonical form of a JSON value."""
    return digest_bytes(canonical_json(value))
