"""Configuration files as data: YAML, JSON and TOML read, patched with comments kept, validated, compared.

- A patched file, read again, says exactly what the patch applied to the plain data says; else it is refused.
- Two patches with the same effect have the same canonical form, however they are worded.
"""

from __future__ import annotations

import copy
import datetime
import io
import json
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import jsonpatch
import jsonpointer
import jsonschema
import referencing
import tomlkit
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.util import load_yaml_guess_indent

from ripple.model.candidate import PatchOperation
from ripple.model.digest import Digest, digest_json
from ripple.model.errors import Invalid

SUFFIXES = (".yaml", ".yml", ".json", ".toml")
MAX_DOCUMENT_BYTES = 256 << 10
MAX_NODES = 50_000
_PATCH_ERRORS = (
    jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, ValueError, LookupError,
    AttributeError, RecursionError,
)  # fmt: skip


def parse_document(path: str, text: str) -> Any:
    """The plain data of a configuration file: what JSON can say, dates as ISO strings.

    Raises:
        Invalid: not parseable, too large, or more than JSON can say (tags, cycles, keys that are no strings).
    """
    return _plain(path, _load(path, text)[0])


def patch_document(path: str, text: str, patch: Sequence[PatchOperation]) -> str:
    """``text`` with an RFC 6902 patch applied, comments, order and indentation kept.

    Raises:
        Invalid: the file does not parse, or an operation does not apply; nothing is applied in part.
    """
    document, dump = _load(path, text)
    # On plain data first: a patch that does not apply, or grows without end, costs next to nothing there.
    expected = _patched(path, _plain(path, document), patch, lambda value: _plain(path, value))
    document = _patched(path, document, patch, lambda value: value)
    try:
        written = dump(document)
        same = parse_document(path, written) == expected
    except (*_PATCH_ERRORS, YAMLError, Invalid) as error:
        raise Invalid(f"the patched {path} cannot be written: {error}") from error
    if not same:
        raise Invalid(f"the patched {path} cannot be written so that it reads the same; use an edit instead")
    return written


def _patched(path: str, document: Any, patch: Sequence[PatchOperation], checked: Callable[[Any], Any]) -> Any:
    """The document, changed in place; ``checked`` after every operation, since a copy into itself doubles it."""
    for number, operation in enumerate(patch):
        step = copy.deepcopy([_operation(path, number, operation)])
        try:
            document = checked(jsonpatch.apply_patch(document, step, in_place=True))
        except _PATCH_ERRORS as error:
            raise Invalid(
                f"patch operation {number} ({operation.op} {operation.path}) of {path}: {error}"
            ) from error
    return document


def check_schema(path: str, data: Any, schema_text: str) -> None:
    """Invalid, naming the place, unless ``data`` satisfies the JSON Schema; nothing is fetched for a ``$ref``."""
    try:
        schema = json.loads(schema_text)
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
        found = next(iter(kind(schema, registry=referencing.Registry()).iter_errors(data)), None)
    except (ValueError, jsonschema.SchemaError, referencing.exceptions.Unresolvable, RecursionError) as error:
        raise Invalid(
            f"the schema of {path} cannot be used: {str(error)[:300]}; mend it in the application"
        ) from error
    if found is not None:
        place = "/".join(str(part) for part in found.absolute_path) or "the top"
        raise Invalid(f"{path} would break its schema at {place}: {found.message[:300]}")


def canonical_patch(before: Any, after: Any) -> Digest:
    """The digest of what differs between two plain documents: equal for every wording of the same change."""
    return digest_json(difference(before, after))


def difference(before: Any, after: Any) -> Any:
    """What differs, as JSON: mappings key by key, anything else whole; ``{}`` for equal documents."""
    if _same(before, after):
        return {}
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return {"set": _jsonable(after)}
    changed = {key: difference(before[key], after[key]) for key in before.keys() & after.keys()}
    return {
        "remove": sorted(before.keys() - after.keys()),
        "add": {key: _jsonable(after[key]) for key in after.keys() - before.keys()},
        "change": {key: value for key, value in changed.items() if value},
    }


def _load(path: str, text: str) -> tuple[Any, Callable[[Any], str]]:
    """The document in its library's own form, and how to write that form again."""
    if len(text.encode(errors="surrogatepass")) > MAX_DOCUMENT_BYTES:
        raise Invalid(f"{path} is larger than {MAX_DOCUMENT_BYTES} bytes; configuration this large is not read")
    try:
        if path.endswith(".json"):
            return _load_json(text)
        if path.endswith(".toml"):
            return tomlkit.parse(text), tomlkit.dumps
        return _load_yaml(text)
    except (ValueError, YAMLError, RecursionError, tomlkit.exceptions.TOMLKitError) as error:
        raise Invalid(f"{path} does not parse: {' '.join(str(error).split())[:300]}") from error


def _load_json(text: str) -> tuple[Any, Callable[[Any], str]]:
    data = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    indent = re.search(r"\n([ \t]+)\S", text)
    end = "\n" if text.endswith("\n") else ""
    return data, lambda value: json.dumps(value, indent=indent and indent[1], ensure_ascii=False) + end


def _load_yaml(text: str) -> tuple[Any, Callable[[Any], str]]:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 100_000
    data = yaml.load(text)
    _, indent, offset = load_yaml_guess_indent(text)
    if indent and offset is not None:
        # ruamel counts a sequence's indent from the parent's column to the item, its offset to the dash.
        yaml.indent(mapping=indent if not offset else max(2, indent - offset), sequence=indent, offset=offset)

    def dump(value: Any) -> str:
        out = io.StringIO()
        yaml.dump(value, out)
        return out.getvalue()

    return data, dump


def _operation(path: str, number: int, operation: PatchOperation) -> dict[str, Any]:
    row: dict[str, Any] = {"op": operation.op, "path": operation.path}
    if operation.op in ("add", "replace", "test"):
        if "value" not in operation.model_fields_set:
            raise Invalid(f"patch operation {number} ({operation.op}) of {path} has no value")
        row["value"] = operation.value
    if operation.op in ("move", "copy"):
        if operation.from_ is None:
            raise Invalid(f"patch operation {number} ({operation.op}) of {path} has no from")
        row["from"] = operation.from_
    return row


def _plain(path: str, value: Any) -> Any:
    left = MAX_NODES

    def convert(one: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > 100:
            raise Invalid(f"{path} is nested too deep or has more than {MAX_NODES} values, aliases counted out")
        if isinstance(one, Mapping):
            if not all(isinstance(key, str) for key in one):
                raise Invalid(f"{path} has a key that is no string; quote it")
            return {str(key): convert(item, depth + 1) for key, item in one.items()}
        if isinstance(one, list | tuple):
            return [convert(item, depth + 1) for item in one]
        return _scalar(path, one)

    return convert(value, 0)


def _scalar(path: str, one: Any) -> Any:
    if one is None or isinstance(one, bool):
        return one
    for kind in (bool, int, float, str):
        # The libraries' own scalars are subclasses (ruamel's booleans are ints) and carry formatting.
        if isinstance(one, kind):
            return bool(one) if type(one).__name__ == "ScalarBoolean" else kind(one)
    if isinstance(one, datetime.date | datetime.time):
        return one.isoformat()
    if isinstance(one, tomlkit.items.Item):
        return _scalar(path, one.unwrap())
    raise Invalid(f"{path} has a value of type {type(one).__name__}; configuration is what JSON can say")


def _same(before: Any, after: Any) -> bool:
    """Equality in which True is not 1."""
    if isinstance(before, dict) and isinstance(after, dict):
        return before.keys() == after.keys() and all(_same(before[key], after[key]) for key in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(_same(*pair) for pair in zip(before, after, strict=True))
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)


def _jsonable(value: Any) -> Any:
    """Numbers that RFC 8785 cannot say become their text."""
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_jsonable(item) for item in value]
    exact = not isinstance(value, int | float) or (abs(value) < 1 << 53)
    return value if exact else {"number": repr(value)}


def _unique(pairs: list[tuple[str, Any]]) -> MutableMapping[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
