"""HoloHash: how Holochain writes digests and keys. A ``u``, then base64url of prefix, 32 bytes and 4 of location.

The location is BLAKE2b-128 of the 32 bytes, its four words combined by exclusive or (holochain ``holo_hash``).
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib

from ripple.model.errors import Invalid

CORE, LOCATION = 32, 4


class Kind(enum.Enum):
    """What a hash is of; the value is its prefix."""

    AGENT = bytes((132, 32, 36))
    ENTRY = bytes((132, 33, 36))
    ACTION = bytes((132, 41, 36))
    WASM = bytes((132, 42, 36))
    DNA = bytes((132, 45, 36))

    @property
    def shown(self) -> str:
        """How such a hash begins."""
        return "u" + base64.urlsafe_b64encode(self.value + b"\0\0\0").decode()[:4]


def encode(kind: Kind, core: bytes) -> str:
    """The hash of a kind over 32 bytes."""
    if len(core) != CORE:
        raise Invalid(f"a HoloHash is of {CORE} bytes, not of {len(core)}")
    return "u" + base64.urlsafe_b64encode(kind.value + core + location(core)).decode()


def decode(kind: Kind, text: str) -> bytes:
    """The 32 bytes of a hash of that kind; Invalid for another kind, another length or a wrong location."""
    try:
        raw = base64.b64decode(text[1:], altchars=b"-_", validate=True) if text.startswith("u") else b""
    except binascii.Error as error:
        raise Invalid(f"{text!r} is no HoloHash: {error}") from error
    if len(raw) != len(kind.value) + CORE + LOCATION:
        raise Invalid(f"{text!r} is no HoloHash: it has {len(raw)} bytes, not 39")
    if not raw.startswith(kind.value):
        raise Invalid(f"{text!r} is no hash of a {kind.name.lower()}: that begins with {kind.shown}")
    core = raw[len(kind.value) : -LOCATION]
    if kind is not Kind.AGENT and raw[-LOCATION:] != location(core):
        raise Invalid(f"{text!r} was changed: its last four bytes do not follow from the others")
    return core


def location(core: bytes) -> bytes:
    """Where in the DHT a hash lives."""
    digest = hashlib.blake2b(core, digest_size=16).digest()
    words = [int.from_bytes(digest[at : at + 4], "big") for at in range(0, 16, 4)]
    return (words[0] ^ words[1] ^ words[2] ^ words[3]).to_bytes(4, "big")
