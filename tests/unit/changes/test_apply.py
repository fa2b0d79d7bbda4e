"""Applying answers: all of it or nothing, and never outside the tree."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripple.changes.apply import apply_answer, canonical_change, canonical_patch
from ripple.model.application import ApplicationManifest
from ripple.model.candidate import Answer
from ripple.model.errors import Invalid, Refused, RippleError

MANIFEST = ApplicationManifest.model_validate(
    {
        "name": "shop",
        "config": "config/",
        "test": {"unit": ["true"]},
        "run": {"command": ["true"], "ready": {"http": "/"}},
    }
)
YAML = """\
# what a basket may hold
limits:
  items: 10   # per basket
  price: 99.5
currencies:
  - EUR
  - "USD"
"""
SCHEMA = {
    "type": "object",
    "properties": {
        "limits": {"type": "object", "properties": {"items": {"type": "integer", "maximum": 100}}},
        "currencies": {"type": "array", "items": {"type": "string"}},
    },
    "additionalProperties": False,
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "config").mkdir(parents=True)
    (root / "src").mkdir()
    (root / "src" / "app.py").write_text("x = 1\ny = 1\nx = 1\n")
    (root / "config" / "shop.yaml").write_text(YAML)
    (root / "config" / "flags.json").write_text('{\n    "a": true,\n    "b": [1, 2]\n}\n')
    (root / "config" / "rates.toml").write_text("# rates\n[vat]\nde = 19 # percent\n")
    (root / "config" / "loose.yaml").write_text("a: 1\n")
    for name in ("shop", "flags", "rates"):
        schema = SCHEMA if name == "shop" else {}
        (root / "config" / f"{name}.schema.json").write_text(json.dumps(schema))
    return root


def answer(*edits: dict[str, Any], config: list[dict[str, Any]] | None = None) -> Answer:
    return Answer.model_validate({"edits": list(edits), "config": config or []})


def patched(path: str, *operations: dict[str, Any]) -> Answer:
    return answer(config=[{"path": path, "patch": list(operations)}])


def everything(root: Path) -> dict[str, bytes]:
    return {str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()}


def test_edits_create_replace_and_delete_files(tree: Path) -> None:
    asked = answer(
        {"path": "src/app.py", "find": "y = 1", "replace": "y = 2"},
        {"path": "./docs/new.md", "content": "hello\n"},
        {"path": "config/loose.yaml", "delete": True},
    )
    assert apply_answer(tree, asked, MANIFEST) == ("config/loose.yaml", "docs/new.md", "src/app.py")
    assert (tree / "src" / "app.py").read_text() == "x = 1\ny = 2\nx = 1\n"
    assert (tree / "docs" / "new.md").read_text() == "hello\n"
    assert not (tree / "config" / "loose.yaml").exists()


def test_later_edits_see_what_earlier_ones_made(tree: Path) -> None:
    first = {"path": "a.txt", "content": "one"}
    apply_answer(tree, answer(first, {"path": "a.txt", "find": "one", "replace": "two"}), MANIFEST)
    assert (tree / "a.txt").read_text() == "two"


@pytest.mark.parametrize(("find", "count"), [("x = 1", 2), ("z = 1", 0)])
def test_text_to_find_must_occur_exactly_once(tree: Path, find: str, count: int) -> None:
    with pytest.raises(Invalid, match=rf"src/app\.py.*occurs {count} times"):
        apply_answer(tree, answer({"path": "src/app.py", "find": find, "replace": "w"}), MANIFEST)


def test_an_answer_is_applied_whole_or_not_at_all(tree: Path) -> None:
    before = everything(tree)
    asked = answer({"path": "ok.txt", "content": "ok"}, {"path": "src/app.py", "find": "none", "replace": "w"})
    with pytest.raises(Invalid):
        apply_answer(tree, asked, MANIFEST)
    assert everything(tree) == before


@pytest.mark.parametrize(
    "asked",
    [
        answer(),
        answer({"path": "src/app.py", "find": "y = 1", "replace": "y = 1"}),
        answer({"path": "src/app.py", "content": "x = 1\ny = 1\nx = 1\n"}),
    ],
)
def test_an_answer_that_changes_nothing_is_invalid(tree: Path, asked: Answer) -> None:
    with pytest.raises(Invalid, match="changes nothing"):
        apply_answer(tree, asked, MANIFEST)


@pytest.mark.parametrize(
    "path",
    [
        "../out.txt", "/etc/passwd", "src/../../out.txt", "a\0b", ".git/config", ".GIT/hooks/pre-commit",
        "a/.gIt/x", "git~1/config", ".git /x", ".g\u200cit/x", "src\\..\\x", "C:\\x", "~/x", ".", "./", "a//b",
        "a/", ".git::$INDEX/x",
    ],
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_refused(tree: Path, path: str) -> None:
    outside = everything(tree.parent)
    with pytest.raises((Refused, Invalid, ValueError)):
        apply_answer(tree, answer({"path": path, "content": "evil"}), MANIFEST)
    assert everything(tree.parent) == outside


@pytest.mark.parametrize(
    "edit",
    [
        {"path": "link/x", "content": "evil"},
        {"path": "file-link", "content": "evil"},
        {"path": "file-link", "find": "kept", "replace": "evil"},
        {"path": "link/secret", "delete": True},
    ],
)
def test_links_are_never_followed(tree: Path, edit: dict[str, Any]) -> None:
    outside = tree.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_text("kept")
    (tree / "link").symlink_to(outside)
    (tree / "file-link").symlink_to(outside / "secret")
    with pytest.raises(Refused, match="link"):
        apply_answer(tree, answer(edit), MANIFEST)
    assert everything(outside) == {"secret": b"kept"}


def test_too_large_a_result_and_text_that_is_no_utf8_are_refused(tree: Path) -> None:
    (tree / "big.txt").write_text("m" + "x" * ((1 << 20) - 10))
    with pytest.raises(Invalid, match="bytes"):
        apply_answer(tree, answer({"path": "big.txt", "find": "m", "replace": "y" * 100}), MANIFEST)
    with pytest.raises((Invalid, ValueError)):
        apply_answer(tree, answer({"path": "src/s.txt", "content": "\ud800"}), MANIFEST)
    (tree / "raw.bin").write_bytes(b"\xff\xfe")
    with pytest.raises(Invalid, match="UTF-8"):
        apply_answer(tree, answer({"path": "raw.bin", "find": "a", "replace": "b"}), MANIFEST)


def test_a_yaml_patch_keeps_comments_and_quotes(tree: Path) -> None:
    asked = patched(
        "config/shop.yaml",
        {"op": "replace", "path": "/limits/items", "value": 20},
        {"op": "add", "path": "/currencies/-", "value": "GBP"},
    )
    assert apply_answer(tree, asked, MANIFEST) == ("config/shop.yaml",)
    expected = YAML.replace("items: 10 ", "items: 20 ") + "  - GBP\n"
    assert (tree / "config" / "shop.yaml").read_text() == expected


def test_json_keeps_its_indent_and_toml_its_comments(tree: Path) -> None:
    rows = [
        {"path": "config/flags.json", "patch": [{"op": "replace", "path": "/a", "value": False}]},
        {"path": "config/rates.toml", "patch": [{"op": "replace", "path": "/vat/de", "value": 16}]},
    ]
    apply_answer(tree, answer(config=rows), MANIFEST)
    assert (tree / "config" / "flags.json").read_text().startswith('{\n    "a": false,\n    "b": [')
    assert (tree / "config" / "rates.toml").read_text() == "# rates\n[vat]\nde = 16 # percent\n"


@pytest.mark.parametrize(
    ("path", "operation", "said"),
    [
        ("config/shop.yaml", {"op": "replace", "path": "/limits/items", "value": 1000}, "schema at limits/items"),
        ("config/shop.yaml", {"op": "add", "path": "/extra", "value": 1}, "schema"),
        ("config/shop.yaml", {"op": "remove", "path": "/nothing"}, "operation 0"),
        ("config/shop.yaml", {"op": "test", "path": "/limits/items", "value": 11}, "operation 0"),
        ("config/shop.yaml", {"op": "add", "path": "/limits/items"}, "no value"),
        ("config/missing.yaml", {"op": "remove", "path": "/a"}, "no such file"),
        ("config/loose.yaml", {"op": "remove", "path": "/a"}, "no schema"),
        ("src/app.py", {"op": "remove", "path": "/a"}, "not configuration"),
        ("config/shop.schema.json", {"op": "remove", "path": "/type"}, "no YAML"),
        ("config/../src/x.yaml", {"op": "remove", "path": "/a"}, "component"),
    ],
)
def test_a_patch_that_may_not_be_is_refused_with_the_place(
    tree: Path, path: str, operation: dict[str, Any], said: str
) -> None:
    before = everything(tree)
    with pytest.raises(RippleError, match=said):
        apply_answer(tree, patched(path, operation), MANIFEST)
    assert everything(tree) == before


def test_an_edit_of_configuration_is_held_to_the_schema_as_it_was(tree: Path) -> None:
    asked = answer(
        {"path": "config/shop.schema.json", "content": "{}"},
        {"path": "config/shop.yaml", "find": "items: 10", "replace": "items: 1000"},
    )
    with pytest.raises(Invalid, match="schema"):
        apply_answer(tree, asked, MANIFEST)


def test_a_patch_that_doubles_its_document_forever_is_stopped(tree: Path) -> None:
    copies = [{"op": "copy", "from": "", "path": f"/n{number}"} for number in range(60)]
    with pytest.raises(Invalid, match=r"nested too deep|values|schema"):
        apply_answer(tree, patched("config/rates.toml", *copies), MANIFEST)


def test_a_yaml_bomb_is_stopped(tree: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(Invalid, match="values"):
        apply_answer(tree, answer({"path": "config/shop.yaml", "content": "\n".join(lines)}), MANIFEST)


def test_patches_with_equal_effect_have_one_canonical_form(tree: Path) -> None:
    operations: list[list[dict[str, Any]]] = [
        [{"op": "replace", "path": "/limits/items", "value": 20}],
        [{"op": "remove", "path": "/limits/items"}, {"op": "add", "path": "/limits/items", "value": 20}],
        [{"op": "replace", "path": "/limits", "value": {"price": 99.5, "items": 20}}],
        [{"op": "replace", "path": "/limits/items", "value": 21}],
    ]
    digests = []
    for one in operations:
        after = tree.parent / "after"
        shutil.rmtree(after, ignore_errors=True)
        shutil.copytree(tree, after)
        paths = apply_answer(after, patched("config/shop.yaml", *one), MANIFEST)
        digests.append(canonical_change(tree, after, paths))
    assert digests[0] == digests[1] == digests[2] != digests[3]


documents = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(documents, documents, documents)
@settings(max_examples=200, deadline=None)
def test_canonical_form_tells_results_apart_and_nothing_else(before: Any, left: Any, right: Any) -> None:
    same = json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
    assert (canonical_patch(before, left) == canonical_patch(before, right)) == same


PARTS = ["..", ".", ".git", "link", "src", "a", "", "\0", "app.py", "~", "x" * 300, ".GIT", "\u202e", "/"]
hostile = st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("/".join)


@given(hostile | st.text(min_size=1, max_size=20), st.sampled_from(["content", "delete", "find"]))
@settings(max_examples=300, deadline=None)
def test_no_path_ever_writes_outside_the_tree(path: str, form: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        (root / "src").mkdir(parents=True)
        (root / ".git").mkdir()
        (root / ".git" / "config").write_text("kept")
        (root / "src" / "app.py").write_text("kept")
        (Path(folder) / "outside").mkdir()
        (Path(folder) / "outside" / "app.py").write_text("kept")
        (root / "link").symlink_to("../outside")
        edit: dict[str, Any] = {"path": path}
        edit |= {"content": "evil"} if form == "content" else {"delete": True} if form == "delete" else {}
        edit |= {"find": "kept", "replace": "evil"} if form == "find" else {}
        with contextlib.suppress(RippleError, ValueError):
            apply_answer(root, answer(edit), MANIFEST)
        assert (root / ".git" / "config").read_text() == "kept"
        assert sorted(one.name for one in Path(folder).iterdir()) == ["outside", "tree"]
        assert everything(Path(folder) / "outside") == {"app.py": b"kept"}
