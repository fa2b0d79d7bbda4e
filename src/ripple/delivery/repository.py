"""Ripple's own clone of an application, and the one place that writes to the operator's repository.

- The clone is bare and never runs anything: see :mod:`ripple.delivery.git` and :mod:`ripple.delivery.trees`.
- The same tree, parent, message and time make the same commit, so making it twice makes it once.
- The operator's branch only ever moves forward. Where it moved meanwhile the push is a Conflict; where its
  checked-out folder has changes of its own, the commit waits on the branch ``ripple/HINT``.
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from ripple.delivery import trees
from ripple.delivery.git import DEADLINE_SECONDS, Git
from ripple.model.errors import Conflict, DeadlineExceeded, Invalid, NotFound

AUTHOR = {"GIT_AUTHOR_NAME": "Ripple", "GIT_AUTHOR_EMAIL": "ripple@localhost"}
COMMITTER = {"GIT_COMMITTER_NAME": "Ripple", "GIT_COMMITTER_EMAIL": "ripple@localhost"}
MAX_DIFF_BYTES = 200_000
RECEIVE = "git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c receive.denyCurrentBranch=updateInstead"
REVERTS = "Ripple-Reverts"
EPOCH = "1970-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class PushResult:
    """Where a commit ended up. ``merged`` is False when it waits on another branch; ``reason`` says why."""

    branch: str
    merged: bool
    reason: str = ""


class Repository:
    """One application's repository. ``home_dir`` is Ripple's folder for it, ``origin`` the operator's."""

    def __init__(self, home_dir: Path, origin: Path, branch: str) -> None:
        self._home = home_dir
        self._bare = home_dir / "repo.git"
        self._origin = origin
        self._branch = branch
        trusted = (origin, origin / ".git", self._bare)
        self._git = Git(self._bare, home_dir, trusted)
        self._theirs = Git(origin, home_dir, trusted)
        self._tree_names: dict[str, str] = {}
        """By object name, whose tree never changes."""

    @staticmethod
    async def initialise(folder: Path) -> None:
        """Make ``folder`` a repository with one commit of everything in it on branch ``main``."""
        settings = folder / ".git"
        git = Git(folder, settings, (folder, settings))
        await git.run("init", "--quiet", "--template=", "--initial-branch=main")
        await git.run("add", "--all")
        when = _git_date(datetime.now(UTC).isoformat())
        await git.run("commit", "--quiet", "--message", "Begin", env={**AUTHOR, **COMMITTER, **_dates(when)})

    async def sync(self) -> None:
        """Bring the clone up to the origin's branch, making it first if needed."""
        async with self._alone():
            if not (self._bare / "HEAD").exists():
                await self._create()
            where = f"+refs/heads/{self._branch}:refs/heads/{self._branch}"
            await self._git.run(
                "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
                "--upload-pack", "git -c core.hooksPath=/dev/null upload-pack", str(self._origin), where,
            )  # fmt: skip

    async def head(self) -> str:
        """The branch's commit as of the last :meth:`sync`."""
        return await self._commit_at(self._git, f"refs/heads/{self._branch}")

    async def origin_head(self) -> str:
        """The commit the operator's branch is at now; NotFound when folder or branch are gone."""
        if not self._origin.is_dir():
            raise NotFound(f"the repository {self._origin} is gone; put it back or remove the application")
        return await self._commit_at(self._theirs, f"refs/heads/{self._branch}")

    async def dirty(self) -> bool:
        """True when the origin's checked-out files differ from its commit (new files do not count)."""
        if (await self._theirs.run("rev-parse", "--is-bare-repository")).text == "true":
            return False
        status = await self._theirs.run(
            "status", "--porcelain=v1", "-z", "--untracked-files=no", "--ignore-submodules=all"
        )
        return bool(status.out)

    async def tree_of(self, commit: str) -> str:
        """The tree of a commit (of a tree, itself)."""
        if commit not in self._tree_names:
            found = await self._git.run("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")
            self._tree_names[commit] = found.text
        return self._tree_names[commit]

    async def checkout(self, commit: str, target: Path) -> None:
        """Write the files of a commit or tree to ``target``, which must not exist; no ``.git`` in it.

        Raises:
            Invalid: a path or link leads out of the tree, or the tree is too large; ``target`` is not left behind.
        """
        entries, blobs = await self.files(commit)
        fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            await anyio.to_thread.run_sync(trees.write_folder, entries, blobs, fresh)
            fresh.rename(target)
        finally:
            await anyio.to_thread.run_sync(trees.remove_folder, fresh)

    async def files(self, treeish: str) -> tuple[list[trees.Entry], dict[str, bytes]]:
        """The entries of a commit or tree and their contents by object name, byte for byte."""
        entries = await self._entries(treeish)
        names = list(dict.fromkeys(entry.name for entry in entries if entry.mode != trees.SUBMODULE))
        request = "".join(f"{name}\n" for name in names).encode()
        answer = await self._git.run("cat-file", "--batch", stdin=request)
        return entries, trees.parse_objects(names, answer.out)

    async def write_tree(self, folder: Path, base: str) -> str:
        """The tree of ``folder``: the base's files as they are there now, plus new ones, minus caches."""
        known = {entry.path: entry for entry in await self._entries(base)}
        base_tree = await self.tree_of(base)
        algorithm = "sha256" if len(base_tree) == 64 else "sha1"
        found = await anyio.to_thread.run_sync(trees.read_folder, folder, known, algorithm)
        changed = [one for one in found if _differs(one, known.get(one.path))]
        gone = known.keys() - {one.path for one in found}
        gone = {path for path in gone if known[path].mode != trees.SUBMODULE}
        if not changed and not gone:
            return base_tree
        await self._store(changed)
        lines = [f"{one.mode} {one.name}\t{one.path}" for one in changed]
        lines += [f"0 {'0' * len(base_tree)}\t{path}" for path in sorted(gone)]
        async with self._index() as env:
            await self._git.run("read-tree", base_tree, env=env)
            listing = "".join(f"{line}\0" for line in lines).encode("utf-8", "surrogateescape")
            await self._git.run("update-index", "--add", "--replace", "-z", "--index-info", stdin=listing, env=env)
            return (await self._git.run("write-tree", env=env)).text

    async def diff(self, base: str, tree: str) -> str:
        """The unified diff, at most 200,000 bytes; a cut one says so in its last line."""
        found = await self._git.run(
            "diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", base, tree, "--"
        )
        text = found.out[:MAX_DIFF_BYTES].decode("utf-8", "replace")
        cut = len(found.out) - MAX_DIFF_BYTES
        return f"{text}\n… {cut} more bytes of this diff are not shown\n" if cut > 0 else text

    async def changed_paths(self, base: str, tree: str) -> tuple[str, ...]:
        """Paths that were added, removed or modified, sorted."""
        found = await self._git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, tree)
        return tuple(sorted(part.decode("utf-8", "surrogateescape") for part in found.out.split(b"\0") if part))

    async def commit(self, tree: str, parent: str, message: str, at: str) -> str:
        """A commit by Ripple, dated ``at`` (ISO 8601); the same arguments give the same commit."""
        env = {**AUTHOR, **COMMITTER, **_dates(_git_date(at))}
        text = message.replace("\0", "").encode()
        made = await self._git.run("commit-tree", tree, "-p", parent, "-F", "-", stdin=text, env=env)
        return made.text

    async def push(self, commit: str, expected_old: str, *, branch_hint: str) -> PushResult:
        """Move the operator's branch forward to ``commit``. Doing it again changes nothing.

        Raises:
            Conflict: the branch is neither at ``expected_old`` nor past ``commit`` any more.
        """
        await self.sync()
        head = await self.head()
        if await self._is_ancestor(commit, head):
            return PushResult(self._branch, True, "it was there already")
        if head != expected_old or not await self._is_ancestor(expected_old, commit):
            raise Conflict(
                f"cannot put {commit[:12]} on {self._branch} of {self._origin}: the branch moved from "
                f"{expected_old[:12]} to {head[:12]}; make the change again on the new base"
            )
        if await self.dirty():
            return await self._set_aside(commit, branch_hint, "has uncommitted changes")
        refused = await self._try_push(commit, self._branch)
        if refused and await self.origin_head() != expected_old:
            raise Conflict(f"cannot put {commit[:12]} on {self._branch} of {self._origin}: the branch just moved")
        if refused:
            return await self._set_aside(commit, branch_hint, f"cannot be updated ({refused})")
        return PushResult(self._branch, True)

    async def revert(self, commit: str, message: str, at: str) -> dict[str, Any]:
        """Take one commit's changes back out of the operator's branch; repeatable.

        Returns the :class:`PushResult` as a mapping, with ``commit`` the reverting commit or None. A conflict with
        later commits is ``merged: False`` with the reason: that is for a person to resolve.
        """
        head = await self.head()
        if not await self._is_ancestor(commit, head):
            reason = f"{commit[:12]} never reached {self._branch}"
            return {"commit": None, **asdict(PushResult(self._branch, False, reason))}
        done = await self._reverting(commit, head)
        if done:
            return {"commit": done, **asdict(PushResult(self._branch, True, "it was reverted already"))}
        try:
            tree = await self.rebase_tree(f"{commit}^", commit, head)
        except Conflict as error:
            return {"commit": None, **asdict(PushResult(self._branch, False, str(error)))}
        made = await self.commit(tree, head, f"{message}\n\n{REVERTS}: {commit}\n", at)
        pushed = await self.push(made, head, branch_hint=f"revert-{commit[:12]}")
        return {"commit": made, **asdict(pushed)}

    async def merge_base(self, one: str, other: str) -> str:
        """The newest commit both descend from; NotFound when there is none."""
        found = await self._git.run("merge-base", one, other, ok=(0, 1))
        if found.code:
            raise NotFound(f"{one[:12]} and {other[:12]} have no commit in common")
        return found.text

    async def rebase_tree(self, tree: str, old_base: str, new_base: str) -> str:
        """What ``tree`` changed against ``old_base``, three-way merged onto ``new_base``, as a tree.

        Raises:
            Conflict: both sides changed the same lines; the message names the files.
        """
        # git 2.39's merge-tree takes no --merge-base, so the base is given as a parent of two throw-away commits
        base = await self._scratch_commit(await self.tree_of(old_base))
        ours = await self._scratch_commit(await self.tree_of(new_base), base)
        theirs = await self._scratch_commit(await self.tree_of(tree), base)
        merged = await self._git.run(
            "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs, ok=(0, 1)
        )
        written, *names = [part.decode("utf-8", "replace") for part in merged.out.split(b"\0") if part]
        if merged.code:
            raise Conflict(
                f"the change and {new_base[:12]} both changed {', '.join(dict.fromkeys(names))}; "
                f"make the change again on the new base"
            )
        return written

    async def _create(self) -> None:
        self._bare.mkdir(parents=True, exist_ok=True)
        kind = (await self._theirs.run("rev-parse", "--show-object-format")).text
        await self._git.run("init", "--quiet", "--bare", "--template=", f"--object-format={kind}")

    async def _commit_at(self, git: Git, reference: str) -> str:
        found = await git.run("rev-parse", "--quiet", "--verify", f"{reference}^{{commit}}", ok=(0, 1, 128))
        if found.code:
            detail = f": {found.err}" if found.err else ""
            raise NotFound(f"{git.folder} has no commit at {reference}{detail}; commit something or sync first")
        return found.text

    async def _entries(self, treeish: str) -> list[trees.Entry]:
        return trees.parse_tree((await self._git.run("ls-tree", "-r", "-z", "-l", "--full-tree", treeish)).out)

    async def _store(self, files: list[trees.Found]) -> None:
        """Write the blobs in one call: fast-import needs no file names and applies no filters."""
        stream = b"".join(b"blob\ndata %d\n%b\n" % (len(one.data), one.data) for one in files)
        if stream:
            await self._git.run("fast-import", "--quiet", "--done", stdin=stream + b"done\n")

    async def _scratch_commit(self, tree: str, *parents: str) -> str:
        env = {**AUTHOR, **COMMITTER, **_dates(_git_date(EPOCH))}
        arguments = [part for parent in parents for part in ("-p", parent)]
        return (await self._git.run("commit-tree", tree, *arguments, "-m", "scratch", env=env)).text

    async def _is_ancestor(self, older: str, newer: str) -> bool:
        found = await self._git.run("merge-base", "--is-ancestor", older, newer, ok=(0, 1))
        return found.code == 0

    async def _reverting(self, commit: str, head: str) -> str:
        """The commit whose trailer takes ``commit`` back, empty when none does; an intent is no trailer."""
        shown = f"--format=%H %(trailers:key={REVERTS},valueonly,separator=%x20)"
        log = await self._git.run("log", shown, f"{commit}..{head}")
        lines = [line.split() for line in log.text.splitlines()]
        return next((made for made, *reverted in lines if commit in reverted), "")

    async def _try_push(self, commit: str, branch: str) -> str:
        """What the origin said when it refused, empty when the branch is at ``commit`` now."""
        pushed = await self._git.run(
            "push", "--porcelain", "--no-verify", "--no-recurse-submodules", "--receive-pack",
            f"{RECEIVE} receive-pack", str(self._origin), f"{commit}:refs/heads/{branch}", ok=(0, 1),
        )  # fmt: skip
        if pushed.code == 0:
            return ""
        refusal = [line.split("\t")[-1] for line in pushed.text.splitlines() if line.startswith("!")]
        return "; ".join(refusal) or pushed.err or "git gave no reason"

    async def _set_aside(self, commit: str, hint: str, why: str) -> PushResult:
        branch = f"ripple/{hint}"
        refused = await self._try_push(commit, branch)
        if refused:
            raise Conflict(f"cannot leave {commit[:12]} on {branch} of {self._origin}: {refused}")
        reason = f"{self._origin} {why}; the commit waits on branch {branch}: merge it when the folder is clean"
        return PushResult(branch, False, reason)

    @asynccontextmanager
    async def _index(self) -> AsyncIterator[dict[str, str]]:
        """A private index, so that concurrent calls never share one."""
        async with anyio.TemporaryDirectory(prefix="index-", dir=str(self._home)) as folder:
            yield {"GIT_INDEX_FILE": str(Path(folder) / "index")}

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the clone against other processes of this machine."""
        self._home.mkdir(parents=True, exist_ok=True)
        with (self._home / "repo.lock").open("w") as handle:
            try:
                with anyio.fail_after(DEADLINE_SECONDS):
                    while True:
                        if _locked(handle.fileno()):
                            break
                        await anyio.sleep(0.01)
            except TimeoutError as error:
                raise DeadlineExceeded(f"{self._bare} is locked by another process of Ripple") from error
            yield


async def inspect_origin(origin: Path) -> str:
    """The branch checked out at ``origin``.

    Raises:
        NotFound: there is no such folder.
        Invalid: it is not the root of a repository, has no branch checked out, or no commit yet.
    """
    if not await anyio.Path(origin).is_dir():
        raise NotFound(f"there is no folder {origin}")
    async with anyio.TemporaryDirectory(prefix="ripple-git-") as settings:
        git = Git(origin, Path(settings), (origin, origin / ".git"))
        root = await git.run("rev-parse", "--git-dir", ok=(0, 128))
        if root.code or root.text not in {".git", "."}:
            raise Invalid(
                f"{origin} is not the root of a Git repository; run git init and commit there, or use --copy"
            )
        branch = await git.run("symbolic-ref", "--quiet", "--short", "HEAD", ok=(0, 1))
        if branch.code:
            raise Invalid(f"{origin} has no branch checked out (detached HEAD); run git switch BRANCH there")
        commit = await git.run("rev-parse", "--quiet", "--verify", "HEAD^{commit}", ok=(0, 1, 128))
        if commit.code:
            raise Invalid(f"{origin} has no commit on {branch.text}; commit the application first")
    return branch.text


def _differs(found: trees.Found, entry: trees.Entry | None) -> bool:
    return entry is None or (entry.mode, entry.name) != (found.mode, found.name)


def _dates(when: str) -> dict[str, str]:
    return {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}


def _git_date(at: str) -> str:
    moment = datetime.fromisoformat(at)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"@{int(moment.timestamp())} +0000"


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
