"""Reading a manifest: YAML 1.2, then a typed model without unknown keys.

What comes from outside is read by :func:`load_yaml`, which refuses duplicate keys and names the line. What Ripple
ships is read by :func:`load_manifest`, a hundred times as fast; ``stack check`` reads the same files strictly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml12
from pydantic import BaseModel, ValidationError

from ripple.model.errors import Invalid, NotFound, unknown_key

T = TypeVar("T", bound=BaseModel)
MAX_BYTES = 4 << 20


def load_manifest(path: Path) -> Any:
    """The plain value of one of Ripple's own YAML files; Invalid names the file and the line."""
    try:
        return yaml12.parse_yaml(read_manifest(path))
    except ValueError as error:
        raise Invalid(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def load_yaml(path: Path) -> Any:
    """The plain value of a YAML file that may come from outside; Invalid names the file and the line."""
    return parse_yaml(read_manifest(path), str(path))


def read_manifest(path: Path) -> str:
    """The text of a file of at most ``MAX_BYTES``."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Invalid(f"{path} is larger than {MAX_BYTES} bytes; a manifest is never that large")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {path}: {error}") from error


def parse_yaml(text: str, where: str) -> Any:
    """The plain value of a YAML text."""
    # Imported late: no process needs it to start.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    reader = YAML(typ="safe", pure=True)
    reader.allow_duplicate_keys = False
    try:
        return reader.load(text)
    except YAMLError as error:
        raise Invalid(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error


def parse(kind: type[T], data: Any, where: str) -> T:
    """``data`` as a ``kind``; an unknown key is an error that names the nearest known one."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise _explained(kind, error, where) from error


def _explained(kind: type[BaseModel], error: ValidationError, where: str) -> Invalid:
    problems = []
    for found in error.errors():
        place = ".".join(str(part) for part in found["loc"])
        if found["type"] == "extra_forbidden":
            *parents, key = found["loc"]
            section = ".".join(str(part) for part in parents)
            return unknown_key(
                str(key), _keys(kind, tuple(parents)), f"{where}{f' ({section})' if section else ''}"
            )
        problems.append(f"{place or 'it'}: {found['msg']}")
    return Invalid(f"{where} is not valid: {'; '.join(problems)}")


def _keys(kind: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The known keys of the section at ``place``, through lists, mappings and optional sections."""
    current: type[BaseModel] | None = kind
    for part in place:
        if isinstance(part, str) and current is not None and part in current.model_fields:
            current = _section(current.model_fields[part].annotation)
    return [field.alias or name for name, field in current.model_fields.items()] if current else []


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section(part))), None)
