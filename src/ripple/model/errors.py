"""The one error tree of Ripple.

    RippleError
    ├── Refused            policy, a limit or a rule said no (never retried)
    ├── Invalid            an input is malformed: manifest, answer, path, patch
    ├── NotFound           the named thing does not exist
    ├── Conflict           the state moved underneath: base commit, lease, release
    ├── Unavailable        a system does not answer now (retryable)
    ├── DeadlineExceeded   an outside call ran past its deadline (retryable)
    └── Broken             stored state contradicts itself: a chain, a digest, a signature

Every message says what failed on what, why, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RippleError(Exception):
    """Root of every error Ripple raises on purpose.

    ``code`` is stable and machine-readable; ``retryable`` says whether the same call may succeed later.
    """

    code = "ripple"
    retryable = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class Refused(RippleError):
    """Policy, a limit or a rule said no."""

    code = "refused"


class Invalid(RippleError):
    """An input is malformed and cannot be used."""

    code = "invalid"


class NotFound(RippleError):
    """The named thing does not exist."""

    code = "not_found"


class Conflict(RippleError):
    """The state moved underneath the caller."""

    code = "conflict"


class Unavailable(RippleError):
    """A system does not answer now; the same call may succeed later."""

    code = "unavailable"
    retryable = True


class DeadlineExceeded(Unavailable):
    """An outside call ran past its deadline."""

    code = "deadline_exceeded"


class Broken(RippleError):
    """Stored state contradicts itself."""

    code = "broken"


def unknown_key(key: str, known: Iterable[str], where: str) -> Invalid:
    """The error for an unknown key: it names the file or section and the nearest known key."""
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(names)}"
    return Invalid(f"unknown key {key!r} in {where}; {hint}", code="unknown_key")
