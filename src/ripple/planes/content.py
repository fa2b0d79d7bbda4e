"""Content addressing: bytes named by what they are (IPFS CIDv1), kept in an object store.

A CID depends on how the bytes were cut and linked, so the import profile is part of the name. There is one now:
UnixFS, raw leaves, chunks of 262,144 bytes, 174 links per node, SHA-256, which is what ``ipfs add --cid-version=1
--raw-leaves --chunker=size-262144`` gives.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Protocol

from aleph_cid import CidHasher

from ripple.model.errors import Broken, Invalid

PROFILE = "unixfs-v1-raw-262144-174"
_CID = re.compile(r"b[a-z2-7]{58}")


class Store(Protocol):
    """What holds the bytes: the objects seam, or anything that keeps bytes by key."""

    async def put(self, key: str, data: bytes) -> None:
        """Keep ``data`` under ``key``, whole or not at all."""
        ...

    async def get(self, key: str) -> bytes:
        """The bytes under ``key``; NotFound when nothing is there."""
        ...


@dataclass(frozen=True)
class Filed:
    """Where bytes are filed: their CID, and the import profile that it is true under."""

    cid: str
    profile: str = PROFILE

    def __str__(self) -> str:
        return f"{self.cid}?profile={self.profile}"

    @classmethod
    def parse(cls, text: str) -> Filed:
        """The inverse of ``str``; Invalid when ``text`` is no CID with a known profile."""
        cid, _, profile = text.partition("?profile=")
        if not _CID.fullmatch(cid) or profile != PROFILE:
            raise Invalid(f"{text[:120]!r} names no content: expected a base32 CIDv1 and ?profile={PROFILE}")
        return cls(cid, profile)


async def put(objects: Store, data: bytes) -> Filed:
    """File ``data`` under its own address. Repeatable: equal bytes have one address, and a damaged copy is mended.

    Raises:
        Invalid: ``data`` is longer than the store takes.
        Unavailable: the store does not take it now.
    """
    filed = Filed(await asyncio.to_thread(cid_of, data))
    await objects.put(_key(filed), data)
    return filed


async def get(objects: Store, filed: Filed) -> bytes:
    """The bytes filed there, proven to be the ones that were put.

    Raises:
        NotFound: nothing is filed there.
        Broken: what is there has another CID.
        Invalid: the CID or its profile is not one of ours.
        Unavailable: the store does not answer now.
    """
    data = await objects.get(_key(Filed.parse(str(filed))))
    found = await asyncio.to_thread(cid_of, data)
    if found != filed.cid:
        raise Broken(
            f"the object filed as {filed.cid} has the content of {found}: it was changed in the store; "
            "file the original again or restore the store"
        )
    return data


def cid_of(data: bytes) -> str:
    """The CIDv1 of ``data`` under :data:`PROFILE`, in base32."""
    hasher = CidHasher.for_ipfs_v1_raw_leaves()
    hasher.update(data)
    return hasher.finalize()


def _key(filed: Filed) -> str:
    return f"content/{filed.profile}/{filed.cid}"
