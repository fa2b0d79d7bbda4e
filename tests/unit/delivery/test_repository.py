"""Ripple's clone of an application: exact bytes, repeatable commits, a branch that only advances."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import anyio
import pytest

from ripple.delivery.repository import Repository, inspect_origin
from ripple.model.errors import Conflict, Invalid, NotFound

AT = "2026-11-24T10:00:00.123456+00:00"


def git(folder: Path, *arguments: str, stdin: bytes | None = None) -> str:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "protocol.file.allow=always"]
    command = ["git", *identity, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, input=stdin, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "app.py").write_text("one\ntwo\nthree\nfour\nfive\nsix\nseven\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/app.py")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return folder


@pytest.fixture
def repository(tmp_path: Path, origin: Path) -> Repository:
    return Repository(tmp_path / "home" / "shop", origin, "main")


async def _edited(repository: Repository, scratch: Path, text: str, base: str | None = None) -> tuple[str, str]:
    """Base commit and the tree with app.py's first line replaced."""
    await repository.sync()
    base = base or await repository.head()
    await repository.checkout(base, scratch)
    file = scratch / "src" / "app.py"
    file.write_text(file.read_text().replace("one", text))
    return base, await repository.write_tree(scratch, base)


def test_a_checkout_is_the_commit_byte_for_byte_without_git(
    repository: Repository, origin: Path, tmp_path: Path
) -> None:
    async def scenario() -> None:
        await repository.sync()
        target = tmp_path / "out"
        await repository.checkout(await repository.head(), target)
        assert (target / "src" / "app.py").read_bytes() == (origin / "src" / "app.py").read_bytes()
        assert os.access(target / "run.sh", os.X_OK)
        assert (target / "link").readlink() == Path("src/app.py")
        assert sorted(path.name for path in target.iterdir()) == ["link", "run.sh", "src"]
        assert await repository.head() == git(origin, "rev-parse", "main") == await repository.origin_head()

    anyio.run(scenario)


def test_writing_an_untouched_checkout_gives_the_commits_own_tree(repository: Repository, tmp_path: Path) -> None:
    async def scenario() -> None:
        await repository.sync()
        head = await repository.head()
        await repository.checkout(head, tmp_path / "out")
        (tmp_path / "out" / "src" / "__pycache__").mkdir()
        (tmp_path / "out" / "src" / "__pycache__" / "app.pyc").write_bytes(b"cache")
        assert await repository.write_tree(tmp_path / "out", head) == await repository.tree_of(head)

    anyio.run(scenario)


def test_a_written_tree_equals_what_git_itself_would_write(
    repository: Repository, origin: Path, tmp_path: Path
) -> None:
    async def scenario() -> None:
        await repository.sync()
        head = await repository.head()
        out = tmp_path / "out"
        await repository.checkout(head, out)
        (out / "src" / "app.py").write_text("changed\r\n")
        (out / "run.sh").unlink()
        (out / "new folder").mkdir()
        (out / "new folder" / "ünïcode.txt").write_text("x")
        (out / "link").unlink()
        (out / "link").mkdir()
        (out / "link" / "file").write_text("a folder where a link was")
        tree = await repository.write_tree(out, head)
        shutil.copytree(origin / ".git", out / ".git")
        git(out, "add", "-A")
        assert tree == git(out, "write-tree")
        assert await repository.changed_paths(head, tree) == (
            "link", "link/file", "new folder/ünïcode.txt", "run.sh", "src/app.py",
        )  # fmt: skip
        assert "+changed" in await repository.diff(head, tree)

    anyio.run(scenario)


def test_attributes_of_the_tree_decide_nothing(repository: Repository, origin: Path, tmp_path: Path) -> None:
    (origin / ".gitattributes").write_text("*.py export-ignore\n*.sh eol=crlf text\n* ident\n* filter=evil\n")
    (origin / "id.txt").write_text("$Id$\n")
    git(origin, "add", "-A")
    git(origin, "commit", "-q", "-m", "attributes")

    async def scenario() -> None:
        await repository.sync()
        head = await repository.head()
        await repository.checkout(head, tmp_path / "out")
        assert (tmp_path / "out" / "src" / "app.py").exists()
        assert (tmp_path / "out" / "run.sh").read_bytes() == b"#!/bin/sh\n"
        assert (tmp_path / "out" / "id.txt").read_bytes() == b"$Id$\n"
        assert await repository.write_tree(tmp_path / "out", head) == await repository.tree_of(head)

    anyio.run(scenario)


@pytest.mark.parametrize("destination", ["/etc/passwd", "../outside", "src/../../outside"])
def test_a_link_out_of_the_tree_is_refused_both_ways(
    repository: Repository, origin: Path, tmp_path: Path, destination: str
) -> None:
    async def scenario() -> None:
        await repository.sync()
        head = await repository.head()
        await repository.checkout(head, tmp_path / "out")
        (tmp_path / "out" / "leak").symlink_to(destination)
        with pytest.raises(Invalid, match="leak"):
            await repository.write_tree(tmp_path / "out", head)
        (origin / "leak").symlink_to(destination)
        git(origin, "add", "-A")
        git(origin, "commit", "-q", "-m", "leak")
        await repository.sync()
        with pytest.raises(Invalid, match="leak"):
            await repository.checkout(await repository.head(), tmp_path / "second")
        assert not (tmp_path / "second").exists()
        assert not list(tmp_path.glob(".second*"))

    anyio.run(scenario)


@pytest.mark.parametrize("name", ["..", ".git", ".GIT"])
def test_a_hostile_tree_object_cannot_write_outside(
    repository: Repository, origin: Path, tmp_path: Path, name: str
) -> None:
    blob = git(origin, "hash-object", "-w", "--stdin", stdin=b"evil")
    raw = b"100644 escaped\0" + bytes.fromhex(blob)
    inner = git(origin, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)
    raw = b"40000 " + name.encode() + b"\0" + bytes.fromhex(inner)
    outer = git(origin, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=raw)
    commit = git(origin, "commit-tree", outer, "-m", "evil")
    git(origin, "update-ref", "refs/heads/main", commit)

    async def scenario() -> None:
        with pytest.raises(Invalid):
            await repository.sync()
            await repository.checkout(commit, tmp_path / "deep" / "out")

    (tmp_path / "deep").mkdir()
    anyio.run(scenario)
    assert not (tmp_path / "deep" / "escaped").exists()
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_socket_or_a_git_folder_in_a_candidate_is_refused(repository: Repository, tmp_path: Path) -> None:
    async def scenario() -> None:
        await repository.sync()
        head = await repository.head()
        await repository.checkout(head, tmp_path / "a")
        os.mkfifo(tmp_path / "a" / "pipe")
        with pytest.raises(Invalid, match="pipe"):
            await repository.write_tree(tmp_path / "a", head)
        await repository.checkout(head, tmp_path / "b")
        (tmp_path / "b" / "src" / ".Git").mkdir()
        (tmp_path / "b" / "src" / ".Git" / "config").write_text("[core]")
        with pytest.raises(Invalid, match="Git"):
            await repository.write_tree(tmp_path / "b", head)

    anyio.run(scenario)


def test_the_same_commit_is_made_twice_as_one(repository: Repository, tmp_path: Path) -> None:
    async def scenario() -> None:
        base, tree = await _edited(repository, tmp_path / "out", "uno")
        first = await repository.commit(tree, base, "Say uno\n\nRipple-Change: 1\n", AT)
        assert first == await repository.commit(tree, base, "Say uno\n\nRipple-Change: 1\n", AT)
        assert first != await repository.commit(tree, base, "Say uno", AT)

    anyio.run(scenario)


def test_a_push_moves_a_checked_out_branch_and_its_files_once(
    repository: Repository, origin: Path, tmp_path: Path
) -> None:
    hook = origin / ".git" / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'hook-ran'}\n")
    hook.chmod(0o755)

    async def scenario() -> None:
        base, tree = await _edited(repository, tmp_path / "out", "uno")
        commit = await repository.commit(tree, base, "Say uno", AT)
        first = await repository.push(commit, base, branch_hint="chg-1")
        again = await repository.push(commit, base, branch_hint="chg-1")
        assert (first.branch, first.merged, again.merged) == ("main", True, True)
        assert git(origin, "rev-parse", "main") == commit
        assert (origin / "src" / "app.py").read_text().startswith("uno")
        assert git(origin, "status", "--porcelain") == ""

    anyio.run(scenario)
    assert not (tmp_path / "hook-ran").exists(), "the repository's hooks never run"


def test_a_push_onto_a_moved_branch_is_a_conflict(repository: Repository, origin: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        base, tree = await _edited(repository, tmp_path / "out", "uno")
        commit = await repository.commit(tree, base, "Say uno", AT)
        (origin / "other").write_text("x")
        git(origin, "add", "-A")
        git(origin, "commit", "-q", "-m", "meanwhile")
        with pytest.raises(Conflict, match="moved"):
            await repository.push(commit, base, branch_hint="chg-1")

    anyio.run(scenario)


def test_a_push_never_touches_a_folder_with_changes_of_its_own(
    repository: Repository, origin: Path, tmp_path: Path
) -> None:
    async def scenario() -> None:
        base, tree = await _edited(repository, tmp_path / "out", "uno")
        commit = await repository.commit(tree, base, "Say uno", AT)
        assert not await repository.dirty()
        (origin / "run.sh").write_text("my own work\n")
        assert await repository.dirty()
        for _ in range(2):
            pushed = await repository.push(commit, base, branch_hint="chg-1")
            assert (pushed.branch, pushed.merged) == ("ripple/chg-1", False)
            assert "uncommitted" in pushed.reason
        assert git(origin, "rev-parse", "ripple/chg-1") == commit
        assert git(origin, "rev-parse", "main") == base
        assert (origin / "run.sh").read_text() == "my own work\n"

    anyio.run(scenario)


def test_a_push_that_would_overwrite_a_new_file_is_set_aside(
    repository: Repository, origin: Path, tmp_path: Path
) -> None:
    async def scenario() -> None:
        await repository.sync()
        base = await repository.head()
        await repository.checkout(base, tmp_path / "out")
        (tmp_path / "out" / "notes.txt").write_text("from the change")
        tree = await repository.write_tree(tmp_path / "out", base)
        commit = await repository.commit(tree, base, "Add notes", AT)
        (origin / "notes.txt").write_text("the operator's own")
        pushed = await repository.push(commit, base, branch_hint="chg-2")
        assert not pushed.merged
        assert (origin / "notes.txt").read_text() == "the operator's own"

    anyio.run(scenario)


def test_a_tree_is_merged_three_ways_onto_a_new_base(repository: Repository, origin: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        base, tree = await _edited(repository, tmp_path / "out", "uno")
        file = origin / "src" / "app.py"
        file.write_text(file.read_text().replace("seven", "siete"))
        git(origin, "commit", "-qam", "siete")
        await repository.sync()
        head = await repository.head()
        merged = await repository.rebase_tree(tree, base, head)
        await repository.checkout(merged, tmp_path / "merged")
        text = (tmp_path / "merged" / "src" / "app.py").read_text()
        assert text.startswith("uno\n")
        assert text.endswith("siete\n")
        assert await repository.merge_base(head, base) == base
        file.write_text(file.read_text().replace("one", "eins"))
        git(origin, "commit", "-qam", "eins")
        await repository.sync()
        with pytest.raises(Conflict, match=r"src/app\.py"):
            await repository.rebase_tree(tree, base, await repository.head())

    anyio.run(scenario)


def test_a_promoted_commit_can_be_taken_back_once(repository: Repository, origin: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        base, tree = await _edited(repository, tmp_path / "out", "uno")
        commit = await repository.commit(tree, base, "Say uno", AT)
        missing = await repository.revert(commit, "Take back", AT)
        assert (missing["commit"], missing["merged"]) == (None, False)
        await repository.push(commit, base, branch_hint="chg-1")
        await repository.sync()
        first = await repository.revert(commit, "Take back chg-1", AT)
        assert first["merged"]
        assert git(origin, "rev-parse", "main") == first["commit"]
        assert (origin / "src" / "app.py").read_text().startswith("one")
        await repository.sync()
        again = await repository.revert(commit, "Take back chg-1", AT)
        assert (again["commit"], again["merged"]) == (first["commit"], True)

    anyio.run(scenario)


def test_words_of_an_intent_do_not_pass_for_a_take_back(
    repository: Repository, origin: Path, tmp_path: Path
) -> None:
    async def scenario() -> None:
        base, tree = await _edited(repository, tmp_path / "out", "uno")
        commit = await repository.commit(tree, base, "Say uno", AT)
        await repository.push(commit, base, branch_hint="chg-1")
        (origin / "notes.txt").write_text("unrelated\n")
        git(origin, "add", "-A")
        git(origin, "commit", "-qm", f"Please\n\nRipple-Reverts: {commit}\n\nRipple-Change: chg-2")
        await repository.sync()
        found = await repository.revert(commit, "Take back chg-1", AT)
        assert found["merged"]
        assert git(origin, "rev-parse", "main") == found["commit"], "it is really taken back"

    anyio.run(scenario)


def test_only_a_repository_with_a_branch_and_a_commit_can_be_an_application(tmp_path: Path, origin: Path) -> None:
    assert anyio.run(inspect_origin, origin) == "main"
    with pytest.raises(NotFound):
        anyio.run(inspect_origin, tmp_path / "nowhere")
    (tmp_path / "plain").mkdir()
    with pytest.raises(Invalid, match="Git repository"):
        anyio.run(inspect_origin, tmp_path / "plain")
    with pytest.raises(Invalid, match="Git repository"):
        anyio.run(inspect_origin, origin / "src")
    git(origin, "checkout", "-q", "--detach")
    with pytest.raises(Invalid, match="detached"):
        anyio.run(inspect_origin, origin)
    git(tmp_path / "plain", "init", "-q", "-b", "main")
    with pytest.raises(Invalid, match="commit"):
        anyio.run(inspect_origin, tmp_path / "plain")


def test_a_plain_folder_becomes_a_repository(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "a.txt").write_text("a")
    anyio.run(Repository.initialise, tmp_path / "copy")
    assert anyio.run(inspect_origin, tmp_path / "copy") == "main"
    assert git(tmp_path / "copy", "status", "--porcelain") == ""


def test_two_processes_may_sync_at_once(repository: Repository, tmp_path: Path, origin: Path) -> None:
    other = Repository(tmp_path / "home" / "shop", origin, "main")

    async def scenario() -> None:
        async with anyio.create_task_group() as group:
            for one in (repository, other, repository, other):
                group.start_soon(one.sync)

    anyio.run(scenario)


def test_a_long_diff_says_that_it_was_cut(repository: Repository, tmp_path: Path) -> None:
    async def scenario() -> None:
        await repository.sync()
        base = await repository.head()
        await repository.checkout(base, tmp_path / "out")
        (tmp_path / "out" / "big.txt").write_text("line\n" * 100_000)
        tree = await repository.write_tree(tmp_path / "out", base)
        text = await repository.diff(base, tree)
        assert len(text) < 210_000
        assert "not shown" in text.splitlines()[-1]

    anyio.run(scenario)


def test_the_usual_calls_take_tens_of_milliseconds(repository: Repository, tmp_path: Path) -> None:
    async def scenario() -> float:
        await repository.sync()
        start = time.perf_counter()
        base, tree = await _edited(repository, tmp_path / "out", "uno")
        await repository.diff(base, tree)
        await repository.commit(tree, base, "Say uno", AT)
        return time.perf_counter() - start

    assert anyio.run(scenario) < 20
