"""Apply a model's answer to a worktree: all of it, or nothing with the path and the reason.

- Every path is plain, inside the tree, not Git's, and no link stands on the way.
- ``find`` occurs exactly once; a file stays UTF-8 and below 1 MB; at most 50 files change; something changes.
- A configuration patch stays in the manifest's ``config`` folder; what it makes satisfies the schema beside it.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from ripple.changes.documents import (
    SUFFIXES,
    canonical_patch,
    check_schema,
    difference,
    parse_document,
    patch_document,
)
from ripple.changes.treefiles import MAX_FILE_BYTES, delete_file, plain_path, read_file, write_file
from ripple.model.application import ApplicationManifest
from ripple.model.candidate import Answer, ConfigPatch, Edit
from ripple.model.digest import Digest, digest_bytes, digest_json
from ripple.model.errors import Invalid, Refused

__all__ = ["apply_answer", "canonical_change", "canonical_patch"]

MAX_FILES = 50


def apply_answer(tree: Path, answer: Answer, manifest: ApplicationManifest) -> tuple[str, ...]:
    """Apply ``answer`` to the folder ``tree``; the plain paths that changed, sorted.

    Everything is checked before the first byte is written.

    Raises:
        Invalid: an edit or patch does not apply, its result is unusable, or nothing would change.
        Refused: a path leaves the tree or the part of it that may be edited.
    """
    plan = _Plan(tree)
    for edit in answer.edits:
        plan.edit(edit)
    for patch in answer.config:
        plan.patch(patch, _config_folder(manifest))
    changed = plan.changed()
    plan.check(changed, _config_folder(manifest))
    for path, content in sorted(changed.items()):
        if content is None:
            delete_file(tree, path)
    for path, content in sorted(changed.items()):
        if content is not None:
            write_file(tree, path, content.encode())
    return tuple(sorted(changed))


def canonical_change(before: Path, after: Path, paths: tuple[str, ...]) -> Digest:
    """The digest of what ``paths`` differ in between two trees: documents by meaning, other files by content."""
    found = {path: _file_difference(path, read_file(before, path), read_file(after, path)) for path in paths}
    return digest_json({path: change for path, change in found.items() if change})


class _Plan:
    """What the files would hold: path to text, None for a file that is gone."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.before: dict[str, str | None] = {}
        self.after: dict[str, str | None] = {}

    def edit(self, edit: Edit) -> None:
        path = plain_path(edit.path)
        text = self._text(path)
        if edit.content is not None:
            self.after[path] = edit.content
            return
        if text is None:
            raise Invalid(f"edit of {path}: there is no such file; give its whole content to create it")
        if edit.delete:
            self.after[path] = None
            return
        assert edit.find is not None and edit.replace is not None
        count = text.count(edit.find)
        if count != 1:
            raise Invalid(
                f"edit of {path}: the text to find occurs {count} times, not once; quote more of the file"
            )
        self.after[path] = text.replace(edit.find, edit.replace)

    def patch(self, patch: ConfigPatch, config: str | None) -> None:
        path = plain_path(patch.path)
        if config is None or not PurePosixPath(path).is_relative_to(config):
            where = f"only files below {config}/ can be patched" if config else "the application declares none"
            raise Refused(f"{path} is not configuration of the application: {where}")
        if not path.endswith(SUFFIXES) or path.endswith(".schema.json"):
            raise Refused(f"{path} is no YAML, JSON or TOML configuration; use an edit")
        text = self._text(path)
        if text is None:
            raise Invalid(f"patch of {path}: there is no such file")
        if read_file(self.tree, _schema_of(path)) is None:
            raise Invalid(f"patch of {path}: it has no schema; add {_schema_of(path)} to the application")
        self.after[path] = patch_document(path, text, patch.patch)

    def changed(self) -> dict[str, str | None]:
        return {path: text for path, text in self.after.items() if text != self.before[path]}

    def check(self, changed: dict[str, str | None], config: str | None) -> None:
        if not changed:
            raise Invalid("the answer changes nothing; every edit leaves its file as it is")
        if len(changed) > MAX_FILES:
            raise Invalid(f"the answer changes {len(changed)} files, more than {MAX_FILES}; make a smaller change")
        for path, text in changed.items():
            if text is not None:
                _check_text(path, text)
                if config and PurePosixPath(path).is_relative_to(config):
                    self._check_document(path, text)

    def _check_document(self, path: str, text: str) -> None:
        # The schema as it stood before: an answer cannot loosen the rule it is judged by.
        schema = read_file(self.tree, _schema_of(path))
        if schema is not None and path.endswith(SUFFIXES) and not path.endswith(".schema.json"):
            check_schema(path, parse_document(path, text), schema.decode(errors="replace"))

    def _text(self, path: str) -> str | None:
        if path not in self.after:
            self.before[path] = self.after[path] = _decoded(path, read_file(self.tree, path))
        return self.after[path]


def _config_folder(manifest: ApplicationManifest) -> str | None:
    return plain_path(manifest.config.rstrip("/")) if manifest.config else None


def _schema_of(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(".schema.json"))


def _decoded(path: str, content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not UTF-8 text; it cannot be edited") from error


def _check_text(path: str, text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise Invalid(f"edit of {path}: the result is not UTF-8 ({error.reason})") from error
    if size > MAX_FILE_BYTES:
        raise Invalid(f"edit of {path}: the result has {size} bytes, more than {MAX_FILE_BYTES}")


def _file_difference(path: str, before: bytes | None, after: bytes | None) -> Any:
    if before == after:
        return {}
    if before is not None and after is not None and path.endswith(SUFFIXES):
        try:
            return difference(parse_document(path, before.decode()), parse_document(path, after.decode()))
        except (Invalid, UnicodeDecodeError):
            pass
    return {"content": digest_bytes(after) if after is not None else None}
