"""The image tables: who wins, what stays, and that merging twice is merging once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripple.model.errors import Invalid, NotFound
from ripple.stack.oci import BASE, COLUMNS, MERGED, SMOKE, Image, merge, merge_files, read_table, text_of

NAMES = st.sampled_from([f"image-{letter}" for letter in "abcdefg"])
DIGESTS = st.sampled_from(["", "sha256:" + "0" * 64, "sha256:" + "f" * 64])
IMAGES = st.builds(
    Image, NAMES, st.sampled_from(["library/a", "quay/b"]), st.sampled_from(["1", "2.0", ""]), DIGESTS
)
TABLES = st.lists(IMAGES, max_size=6, unique_by=lambda image: image.name).map(tuple)


@given(TABLES, TABLES, TABLES)
def test_one_row_a_name_and_base_over_legacy_over_smoke(
    base: tuple[Image, ...], legacy: tuple[Image, ...], smoke: tuple[Image, ...]
) -> None:
    merged = merge(base, legacy, smoke)
    names = [row.name for row in merged]
    assert names == sorted({row.name for row in (*base, *legacy, *smoke)})
    for row in merged:
        source = next(
            (rows, origin)
            for rows, origin in ((base, "base"), (legacy, "legacy"), (smoke, "smoke"))
            if row.name in {one.name for one in rows}
        )
        assert replace(row, origin="") in source[0]
        assert row.origin == source[1]


@given(TABLES, TABLES, TABLES)
def test_merging_twice_is_merging_once_and_a_dropped_base_row_goes(
    base: tuple[Image, ...], legacy: tuple[Image, ...], smoke: tuple[Image, ...]
) -> None:
    once = merge(base, legacy, smoke)
    kept = tuple(row for row in once if row.origin == "legacy")
    assert merge(base, kept, smoke) == once
    without = merge((), kept, smoke)
    assert {row.name for row in smoke} <= {row.name for row in without}, "editing base never drops a smoke image"
    assert not any(row.origin == "base" for row in without)


def tables(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"oci_images{name.removeprefix('merged') and '_' + name}.csv").write_text(text)
    return folder


HEAD = ",".join(COLUMNS) + "\n"


def test_a_row_written_by_hand_survives_as_legacy(tmp_path: Path) -> None:
    tables(tmp_path, smoke=HEAD + "busybox,busybox,1,,\n", merged=HEAD + "mine,x/y,2,,\nold,x/z,1,,base\n")
    merged = merge_files(tmp_path)
    assert [(row.name, row.origin) for row in merged] == [("busybox", "smoke"), ("mine", "legacy")]
    assert (tmp_path / MERGED).read_text() == HEAD + "busybox,busybox,1,,smoke\nmine,x/y,2,,legacy\n"
    before = (tmp_path / MERGED).read_bytes()
    merge_files(tmp_path)
    assert (tmp_path / MERGED).read_bytes() == before


def test_without_the_smoke_table_nothing_is_merged_and_without_the_base_table_it_is(tmp_path: Path) -> None:
    tables(tmp_path, base=HEAD + "nats,nats,2,,\n")
    with pytest.raises(NotFound, match=SMOKE):
        merge_files(tmp_path)
    assert not (tmp_path / MERGED).exists()
    tables(tmp_path, smoke=HEAD + "busybox,busybox,1,,\n")
    assert [row.name for row in merge_files(tmp_path)] == ["busybox", "nats"]
    (tmp_path / BASE).unlink()
    assert [row.name for row in merge_files(tmp_path)] == ["busybox"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,image\na,b\n", "must begin with the columns"),
        (HEAD + "a,b,1,,\na,c,1,,\n", "names a twice"),
        (HEAD + "A B,b,1,,\n", "is no name"),
        (HEAD + 'a,"b,c",1,,\n', "is no image"),
        (HEAD + "a,b,1,sha256:abc,\n", "is no digest"),
        (HEAD + "a,b\n", "has 2 values"),
        ("", "must begin with the columns"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(Invalid, match=why):
        read_table(tmp_path / "t.csv")


@given(TABLES)
def test_what_is_written_is_read_back(rows: tuple[Image, ...]) -> None:
    import csv

    assert [Image(*line) for line in csv.reader(text_of(rows).splitlines()[1:])] == list(rows)
