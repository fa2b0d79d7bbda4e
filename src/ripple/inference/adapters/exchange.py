"""What every adapter is given and gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from ripple.inference.request import Request
from ripple.inference.voters import Voter

MAX_BODY_BYTES = 1 << 20
"""The most that is ever read of one answer; what is longer is cut and counts as unusable."""


@dataclass(frozen=True)
class Call:
    """One question to one voter; ``traceparent`` (W3C Trace Context) is passed on where it is given."""

    voter: Voter
    request: Request
    key: SecretStr | None = None
    traceparent: str | None = None


@dataclass(frozen=True)
class Reply:
    """What came back: the bytes as received and the model's words in them.

    ``problem`` says why an answer that was given cannot be used; the words are empty then.
    """

    raw: bytes
    text: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    problem: str = ""


class Adapter(Protocol):
    """One way to ask. Ends when cancelled, and leaves nothing running behind."""

    def lacking(self) -> str:
        """What this machine lacks for it, with how to get it; empty when it can be used."""
        ...

    async def ask(self, call: Call) -> Reply:
        """The voter's answer.

        Raises:
            RippleError: there is none, with the reason: not reachable, an error status, not installed.
        """
        ...


def tokens(value: object) -> int | None:
    """A token count of a usage report, None for anything that is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else None
