"""The image lists of Spec §7.1: base, smoke and what was merged before become one table.

- ``oci_images_smoke.csv`` has to be there; ``oci_images_base.csv`` may be absent.
- One row a name; base wins over legacy, legacy over smoke.
- Only rows whose origin is ``legacy`` or empty are read back from the merged table, so a row that was merged from
  base or smoke goes when its source drops it, and a row somebody wrote by hand stays (X40).
- Merging twice is merging once. ``scripts/oci/merge_oci_images.nu`` writes the same bytes.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from ripple.model.errors import Invalid, NotFound
from ripple.stack.files import write_whole
from ripple.stack.load import read_manifest

COLUMNS = ("name", "image", "tag", "digest", "origin")
FOLDER = "tables"
BASE, SMOKE, MERGED = "oci_images_base.csv", "oci_images_smoke.csv", "oci_images.csv"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,80}")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._/:-]{0,200}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|")


@dataclass(frozen=True, order=True)
class Image:
    """One row. ``digest`` is empty while nobody has pinned it; such an image is never deployed."""

    name: str
    image: str
    tag: str
    digest: str
    origin: str = ""

    @property
    def reference(self) -> str:
        """How a container engine asks for it: by digest where there is one."""
        named = f"{self.image}:{self.tag}" if self.tag else self.image
        return f"{named}@{self.digest}" if self.digest else named


def merge(base: tuple[Image, ...], legacy: tuple[Image, ...], smoke: tuple[Image, ...]) -> tuple[Image, ...]:
    """One row a name, in the order of the names; ``origin`` says where it came from. Pure."""
    found: dict[str, Image] = {}
    for origin, rows in (("smoke", smoke), ("legacy", legacy), ("base", base)):
        found |= {row.name: replace(row, origin=origin) for row in rows}
    return tuple(found[name] for name in sorted(found))


def merge_files(tables: Path) -> tuple[Image, ...]:
    """Write the merged table of the folder ``tables``; returns its rows.

    Raises:
        NotFound: the smoke table is missing.
        Invalid: a table has other columns, a name twice, or a value that is no name, image, tag or digest.
    """
    merged = merged_rows(tables)
    write_whole(tables / MERGED, text_of(merged))
    return merged


def merged_rows(tables: Path) -> tuple[Image, ...]:
    """What the merged table has to hold."""
    if not (tables / SMOKE).is_file():
        raise NotFound(f"no {tables / SMOKE}; the images of the smoke tests must always be listed (Spec §7.1)")
    base = base_rows(tables)
    before = read_table(tables / MERGED) if (tables / MERGED).is_file() else ()
    kept = tuple(row for row in before if row.origin in ("", "legacy"))
    return merge(base, kept, read_table(tables / SMOKE))


def base_rows(tables: Path) -> tuple[Image, ...]:
    """The rows of the base table; none where there is no such table."""
    return read_table(tables / BASE) if (tables / BASE).is_file() else ()


def read_table(path: Path) -> tuple[Image, ...]:
    """The rows of one table, as they stand there."""
    lines = list(csv.reader(io.StringIO(read_manifest(path), newline="")))
    if not lines or tuple(lines[0]) not in (COLUMNS, COLUMNS[:-1]):
        raise Invalid(f"{path} must begin with the columns {','.join(COLUMNS)}")
    rows = [_image(path, number, line) for number, line in enumerate(lines[1:], 2)]
    names = [row.name for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(f"{path} names {', '.join(twice)} twice; keep one row")
    return tuple(rows)


def text_of(rows: tuple[Image, ...]) -> str:
    """The table as it is written: no value needs a quote, lines end with a line feed."""
    return "".join(",".join(line) + "\n" for line in (COLUMNS, *(astuple(row) for row in rows)))


def _image(path: Path, number: int, line: list[str]) -> Image:
    if len(line) not in (len(COLUMNS), len(COLUMNS) - 1):
        raise Invalid(f"{path}:{number} has {len(line)} values; a row has {len(COLUMNS)}")
    row = Image(*line)
    for what, value, pattern in (
        ("name", row.name, _NAME),
        ("image", row.image, _IMAGE),
        ("tag", row.tag, _TAG),
        ("digest", row.digest, _DIGEST),
        ("origin", row.origin, re.compile("base|legacy|smoke|")),
    ):
        if not pattern.fullmatch(value):
            raise Invalid(f"{path}:{number}: {value!r} is no {what} of an image")
    return row
