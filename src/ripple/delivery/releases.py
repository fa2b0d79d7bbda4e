"""A release: exact bytes of one tree, filed by content address, and one row that names them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import anyio.to_thread
from sqlalchemy import select

from ripple.delivery.repository import Repository
from ripple.delivery.trees import LINK, SUBMODULE, Entry
from ripple.model.errors import NotFound
from ripple.model.release import Release
from ripple.planes import content
from ripple.planes.objects import Objects
from ripple.planes.records import Records, upsert
from ripple.planes.records import tables as t


async def make_release(records: Records, objects: Objects, release: Release, repository: Repository) -> Release:
    """File the release's tree and its row; returns the release with its artifact. Repeatable.

    The bytes come from the repository by the tree's hash, not from a folder where tests may have left something.
    """
    entries, blobs = await repository.files(release.tree)
    data = await anyio.to_thread.run_sync(pack, entries, blobs)
    filed = await content.put(objects, data)
    made = replace(release, artifact=f"{filed.cid}?profile={filed.profile}")
    row = {
        "digest": made.digest,
        "application": made.application,
        "commit": made.commit,
        "tree": made.tree,
        "toolchain": made.toolchain,
        "artifact": made.artifact,
        "created_at": datetime.now(UTC).isoformat(),
        "held": False,
    }
    async with records.write() as connection:
        await upsert.put_new(connection, t.releases, ["digest"], row)
        known = t.releases.update().where(t.releases.c.digest == made.digest)
        # equal content is the same release: the newest commit names it, its hold and its age stay
        await connection.execute(known.values(commit=made.commit, artifact=made.artifact))
    return made


async def load_release(records: Records, digest: str) -> Release:
    """The release with this digest; NotFound when it was never made."""
    async with records.read() as connection:
        query = select(t.releases).where(t.releases.c.digest == digest)
        row = (await connection.execute(query)).mappings().first()
    if row is None:
        raise NotFound(f"no release {digest}; it is made when a change reaches its gates")
    return Release(row["application"], row["commit"], row["tree"], row["toolchain"], row["artifact"])


def pack(entries: list[Entry], blobs: Mapping[str, bytes]) -> bytes:
    """The tree as a tar archive that depends on nothing but the tree: sorted, no times, no owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in sorted(entries, key=lambda one: one.path):
            member = tarfile.TarInfo(entry.path)
            member.mode = 0o755 if entry.mode == "100755" else 0o644
            data = b"" if entry.mode == SUBMODULE else blobs[entry.name]
            if entry.mode == LINK:
                member.type, member.linkname, data = tarfile.SYMTYPE, data.decode("utf-8", "surrogateescape"), b""
            elif entry.mode == SUBMODULE:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
