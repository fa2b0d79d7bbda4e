"""A release's artifact depends on its tree alone."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import anyio

from ripple.delivery.releases import pack
from ripple.delivery.repository import Repository


def test_the_artifact_is_the_same_for_the_same_tree_and_unpacks_to_it(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    (origin / "src").mkdir(parents=True)
    (origin / "src" / "app.py").write_text("print(1)\n")
    (origin / "run.sh").write_text("#!/bin/sh\n")
    (origin / "run.sh").chmod(0o755)
    (origin / "link").symlink_to("src/app.py")

    async def packed(home: Path) -> bytes:
        repository = Repository(home, origin, "main")
        await repository.sync()
        return pack(*await repository.files(await repository.head()))

    anyio.run(Repository.initialise, origin)
    first = anyio.run(packed, tmp_path / "one")
    assert first == anyio.run(packed, tmp_path / "two")
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        members = {member.name: member for member in archive.getmembers()}
        assert sorted(members) == ["link", "run.sh", "src/app.py"]
        assert members["link"].linkname == "src/app.py"
        assert members["run.sh"].mode == 0o755
        assert {member.mtime for member in members.values()} == {0}
        file = archive.extractfile("src/app.py")
        assert file is not None
        assert file.read() == b"print(1)\n"
