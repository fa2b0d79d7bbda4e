"""Where a row stands in its file, for messages a person can follow; and what a fast parser lets pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from ripple.model.errors import Invalid
from ripple.stack.load import read_manifest

Place = tuple[str | int, ...]


class Marks:
    """The lines of one YAML file. Only its shape is read here, never its values."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._root = yaml.compose(read_manifest(path), Loader=yaml.CBaseLoader)
        except yaml.YAMLError as error:
            raise Invalid(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error

    def line(self, *place: str | int) -> int:
        """The line of the value at ``place``, or of the last part of the way that is there; 1-based."""
        node, line = self._root, 1
        for part in place:
            found = _child(node, part)
            if found is None:
                break
            node, line = found
        return line

    def row(self, system: str) -> Place:
        """The place of the row of ``system`` in a layer file."""
        rows = _child(self._root, "systems")
        if rows is not None and isinstance(rows[0], yaml.SequenceNode):
            for number, node in enumerate(rows[0].value):
                found = _child(node, "id")
                if found is not None and found[0].value == system:
                    return ("systems", number)
        return ()

    def duplicates(self) -> Iterator[tuple[int, str]]:
        """Each key that stands twice in one mapping, with the line of its second place."""
        waiting = [self._root] if self._root is not None else []
        while waiting:
            node = waiting.pop()
            if isinstance(node, yaml.MappingNode):
                seen: set[str] = set()
                for key, value in node.value:
                    if key.value in seen:
                        yield key.start_mark.line + 1, str(key.value)
                    seen.add(key.value if isinstance(key.value, str) else "")
                    waiting.append(value)
            elif isinstance(node, yaml.SequenceNode):
                waiting.extend(node.value)


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    return None
