"""Reading a manifest: one meaning or an error that names the file and what is wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from ripple.model.errors import Invalid, NotFound
from ripple.stack.load import MAX_BYTES, load_yaml, parse, parse_yaml


class Probe(BaseModel):
    """A nested section."""

    model_config = ConfigDict(extra="forbid")
    period_seconds: float = 1


class Manifest(BaseModel):
    """What a manifest might be."""

    model_config = ConfigDict(extra="forbid")
    name: str
    live: Probe | None = None
    probes: tuple[Probe, ...] = ()
    by_name: dict[str, Probe] = {}
    from_: str = Field(default="", alias="from")


def test_a_file_becomes_a_plain_value(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nlist: [1, 2.5, true, null]\n")
    assert load_yaml(tmp_path / "a.yaml") == {"name": "a", "list": [1, 2.5, True, None]}


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "012e"])
def test_words_stay_words(word: str) -> None:
    """YAML 1.1 read some of them as booleans."""
    assert parse_yaml(f"a: {word}", "m") == {"a": word}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\na: 2", "duplicate key"),
        ("a: [1", "line 1|line 2"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: 1\n--- \nb: 2", "expected a single document"),
    ],
)
def test_a_text_with_two_meanings_or_none_is_refused(text: str, why: str) -> None:
    with pytest.raises(Invalid, match=f"^m.yaml is not valid YAML.*({why})"):
        parse_yaml(text, "m.yaml")


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file .*a\.yaml"):
        load_yaml(tmp_path / "a.yaml")


def test_a_file_that_is_no_text_or_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff")
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for name, why in (("bytes.yaml", "cannot read"), ("large.yaml", "is larger than"), (".", "cannot read")):
        with pytest.raises(Invalid, match=why):
            load_yaml(tmp_path / name)


def test_a_valid_value_becomes_its_model() -> None:
    found = parse(Manifest, {"name": "a", "live": {"period_seconds": 2}, "from": "b"}, "m")
    assert (found.name, found.live, found.from_) == ("a", Probe(period_seconds=2), "b")


@pytest.mark.parametrize(
    ("data", "place", "nearest"),
    [
        ({"nmae": "a"}, "m", "name"),
        ({"form": "a"}, "m", "from"),
        ({"live": {"period_secs": 1}}, r"m \(live\)", "period_seconds"),
        ({"probes": [{}, {"period_secs": 1}]}, r"m \(probes\.1\)", "period_seconds"),
        ({"by_name": {"x": {"period_secs": 1}}}, r"m \(by_name\.x\)", "period_seconds"),
    ],
)
def test_an_unknown_key_is_named_with_its_place_and_the_nearest(data: Any, place: str, nearest: str) -> None:
    with pytest.raises(Invalid, match=place) as caught:
        parse(Manifest, {"name": "a", **data} if "nmae" not in data else data, "m")
    assert f"did you mean {nearest!r}" in str(caught.value)


def test_every_other_mistake_is_told_at_once_with_its_place() -> None:
    with pytest.raises(Invalid) as caught:
        parse(Manifest, {"live": {"period_seconds": "soon"}, "probes": 3}, "m")
    for place in ("name: ", "live.period_seconds: ", "probes: "):
        assert place in str(caught.value)


@pytest.mark.parametrize("data", [None, 3, "text", []])
def test_what_is_no_mapping_is_refused(data: Any) -> None:
    with pytest.raises(Invalid, match="m is not valid: it: "):
        parse(Manifest, data, "m")
