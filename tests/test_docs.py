"""The documentation against the tree: what it names exists, what it shows parses, what it tells to type works.

- A ``console`` block holds commands behind ``$``. Each ``./ripple`` line is parsed by the program itself; other
  lines name modules and paths of this checkout.
- A ``sh`` block is run here, by the name in the comment above it (``<!-- test: NAME -->``), or says what it needs
  that a test does not have (``<!-- needs: … -->``).
- Pictures are made by the browser tests: all of them are there, or none is.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ripple.governance.audit import Audit, AuditDraft
from ripple.governance.evidence import GATE_PREDICATE, sign_statement
from ripple.governance.keys import NodeKey
from ripple.model.application import ApplicationManifest, EnvironmentOverlay
from ripple.model.component import ComponentState, ComponentStatus, Status
from ripple.model.governance import Principal, PrincipalKind
from ripple.model.paths import Home
from ripple.model.system import System, VendorLock
from ripple.planes.policy.testing import run_tests
from ripple.planes.records import Records
from ripple.stack.documents import documents as generated
from ripple.stack.load import parse, parse_yaml
from ripple.stack.systems import Placed, StackMap, load_map
from ripple.surfaces.cli.change import SHORT
from ripple.surfaces.reference import FOLDER, commands, pages, routes

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
PICTURES = {
    f"{name}.png"
    for name in ("overview", "applications", "models", "ask", "change", "audit", "stack", "component")
}
HEADINGS = ["Context", "Options", "Decision", "What it costs"]
MARKER = re.compile(r"<!-- (?P<kind>test|needs): (?P<name>[^>]+?) -->")
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
LICENCES = re.compile(r"MIT|Apache|BSD|\bISC|PSF|MPL|Mozilla|Python Software|LGPL|Lesser General|DFSG|UNKNOWN")
FORBIDDEN = re.compile(r"Affero|AGPL|SSPL|Server Side|[Nn]on-?[Cc]ommercial|BUSL|Elastic|(?<![L])GPL-?[23]")
# Spelled in pieces: this file may not hold them either.
MAKING = re.compile(
    "|".join(("sub" + "-?agent", "this work" + "place", "/wo" + "rk/", "shared/" + "notes", "the bri" + "ef"))
)
UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "lorem", "coming " + "soon")))


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, its language, its text, and the comment above it."""

    place: str
    language: str
    text: str
    marker: str
    needs: bool

    def commands(self) -> list[str]:
        """The lines behind ``$``."""
        return [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ")]


@cache
def documents() -> dict[str, str]:
    """Every page by its path below the root."""
    files = [*(ROOT / name for name in PAGES), *sorted(DOCS.rglob("*.md"))]
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


def blocks(*languages: str) -> list[Block]:
    """The fenced blocks of these languages, of every page."""
    found = (block for name, text in documents().items() for block in fenced(name, text))
    return [block for block in found if block.language in languages]


def fenced(name: str, text: str) -> Iterator[Block]:
    """The fenced blocks of one page; one in a list is outdented."""
    lines = text.splitlines()
    opened: tuple[int, str, str] | None = None
    for number, line in enumerate(lines):
        fence = re.match(r"( *)```(\w*)$", line)
        if fence and opened is None:
            opened = (number, fence[1], fence[2])
        elif fence and opened is not None:
            start, indent, language = opened
            above = MARKER.search(lines[start - 1]) if start else None
            body = "\n".join(inner.removeprefix(indent) for inner in lines[start + 1 : number])
            needs = above is not None and above["kind"] == "needs"
            yield Block(f"{name}:{start + 1}", language, body, above["name"] if above else "", needs)
            opened = None
    assert opened is None, f"{name}: a fence is not closed"


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The names of a page's headings in links."""
    titles = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def targets() -> Iterator[tuple[str, str]]:
    """(page, target) of every link and picture within the project."""
    for name, text in documents().items():
        for found in LINK.finditer(prose(text)):
            if not re.match(r"https?:", found["target"]):
                yield name, found["target"]


def test_every_link_leads_somewhere() -> None:
    broken = []
    for name, target in targets():
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        page = os.path.relpath(file.resolve(), ROOT)
        if file.suffix != ".png" and not file.exists():
            broken.append(f"{name}: {target}")
        elif anchor and anchor not in anchors(documents().get(page, "")):
            broken.append(f"{name}: {target} (no such heading)")
    assert broken == []


def test_every_page_can_be_reached() -> None:
    linked = {
        os.path.relpath(((ROOT / name).parent / target.partition("#")[0]).resolve(), ROOT)
        for name, target in targets()
    }
    assert set(documents()) - linked - {"README.md"} == set()


def test_every_picture_is_one_that_the_browser_tests_make() -> None:
    shown = {Path(target).name for _, target in targets() if target.endswith(".png")}
    assert shown == PICTURES
    there = {file.name for file in (DOCS / "images").glob("*.png")}
    assert there in (set(), PICTURES)


def test_every_command_exists_with_its_arguments() -> None:
    wrong = [
        f"{block.place}: {line}: {why}"
        for block in blocks("console")
        for line in block.commands()
        if (why := mistake(line))
    ]
    assert wrong == []
    empty = [block.place for block in blocks("console") if not block.commands()]
    assert empty == []


def mistake(line: str) -> str:
    """What is wrong with a command, empty when nothing is."""
    words = shlex.split(re.split(r" [|>] ", line)[0])
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    if words[:1] == ["./ripple"]:
        return refusal(words[1:])
    if words[:2] == [".venv/bin/python", "-m"]:
        module, arguments = words[2], [word for word in words[3:] if not word.startswith("-")]
        missing = [path for path in arguments if not (ROOT / path).exists()]
        return f"no {missing[0]}" if missing else "" if importlib.util.find_spec(module) else f"no module {module}"
    return "neither ./ripple nor a module of this checkout"


def refusal(words: list[str]) -> str:
    """What the command line would say to these words, empty when it takes them."""
    try:
        commands.parse(words)
    except Exception as error:
        return str(error) or type(error).__name__
    return ""


@pytest.mark.parametrize(
    "line",
    [
        "./ripple upp",
        "./ripple up --nope",
        "./ripple change submit --app shop",
        "./ripple change",
        "rm -rf x",
        ".venv/bin/python -m no_such_module",
        ".venv/bin/python -m pytest tests/none.py",
    ],
)
def test_a_wrong_command_would_be_noticed(line: str) -> None:
    assert mistake(line) != ""


def test_every_shell_block_is_run_or_says_what_it_needs() -> None:
    loose = [
        block.place for block in blocks("sh", "bash", "shell") if not block.needs and block.marker not in RUNS
    ]
    assert loose == []
    assert {block.marker for block in blocks("sh")} >= set(RUNS)


@dataclass(frozen=True)
class Scene:
    """A folder to run a block in, beside the state of an instance."""

    folder: Path
    home: Home

    def run(self, name: str) -> str:
        """The block called ``name``: its standard output; it has to exit with 0."""
        block = next(found for found in blocks("sh") if found.marker == name)
        env = {**os.environ, "RIPPLE_HOME": str(self.home.root), "HOME": str(self.folder)}
        done = subprocess.run(
            ("bash", "-euc", block.text), cwd=self.folder, env=env, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, f"{block.place}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A log of 42 entries and a node key, as an instance would have left them."""
    home = Home(tmp_path / "home")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    asyncio.run(_fill(home))
    NodeKey.load_or_create(home.keys)
    return Scene(tmp_path, home)


async def _fill(home: Home) -> None:
    records = Records.at(home.database)
    await records.open()
    audit = Audit(records)
    who = Principal(PrincipalKind.OPERATOR, "local", ("operator",))
    drafts = [
        AuditDraft(who, "change.submit", f"change/{number}", "done", data={"weight": 0.5}) for number in range(42)
    ]
    await asyncio.gather(*(audit.append(draft) for draft in drafts))
    await audit.close()
    await records.close()


def needs(program: str) -> None:
    """Say that a test was not run where a program is missing."""
    if shutil.which(program) is None:
        pytest.skip(f"not run: {program} is not installed")


def check_chain(scene: Scene) -> None:
    head = json.loads((scene.home.database.with_name("audit.head")).read_text())
    assert scene.run("chain") == f"42 entries, head {head['hash']}\n"


def check_head(scene: Scene) -> None:
    needs("sqlite3")
    head = json.loads((scene.home.database.with_name("audit.head")).read_text())
    assert scene.run("head").strip() == head["hash"]


def check_public_key(scene: Scene) -> None:
    needs("openssl")
    scene.run("public-key")
    assert (scene.folder / "node.pub").read_text() == NodeKey.load_or_create(scene.home.keys).public_pem


def check_evidence(scene: Scene) -> None:
    needs("openssl")
    key, subject = NodeKey.load_or_create(scene.home.keys), f"sha256:{'ab' * 32}"
    predicate = {"gate": "build", "verdict": "pass"}
    envelopes = [
        sign_statement(key, "shop", subject, GATE_PREDICATE, {**predicate, "n": number}) for number in range(2)
    ]
    (scene.folder / "evidence.json").write_text(
        json.dumps({"envelopes": [{"envelope": one} for one in envelopes]})
    )
    (scene.folder / "node.pub").write_text(key.public_pem)
    said = scene.run("evidence")
    assert said.count("Signature Verified Successfully") == 2
    assert said.count(f"build pass [{{'digest': {{'sha256': '{'ab' * 32}'}}, 'name': 'shop'}}]") == 2


def check_backup(scene: Scene) -> None:
    for name in ("logs/api.log", "models/big.gguf", "run/ports.json", "applications/shop/logs/kept"):
        (scene.home.root / name).parent.mkdir(parents=True, exist_ok=True)
        (scene.home.root / name).write_text("x")
    scene.run("backup")
    command = ("tar", "--list", "--file", str(scene.folder / "ripple-backup.tar.gz"))
    kept = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    lasting = {"./keys/node.pem", "./state/ripple.db", "./state/audit.head", "./run/ports.json"}
    assert lasting | {"./applications/shop/logs/kept"} <= kept
    assert not any(name.startswith(("./logs/", "./models/")) for name in kept)


RUNS: dict[str, Callable[[Scene], None]] = {
    "chain": check_chain,
    "head": check_head,
    "public-key": check_public_key,
    "evidence": check_evidence,
    "backup": check_backup,
}


@pytest.mark.parametrize("name", RUNS)
def test_a_shell_block_does_what_the_page_says(scene: Scene, name: str) -> None:
    RUNS[name](scene)


@pytest.mark.parametrize("name", ["chain", "evidence"])
def test_a_shell_block_that_verifies_notices_a_forgery(scene: Scene, name: str) -> None:
    needs("openssl")
    RUNS[name](scene)
    if name == "chain":
        asyncio.run(_forge(scene.home))
    else:
        (scene.folder / "0.signed").write_bytes(b"something else")
        block = next(found for found in blocks("sh") if found.marker == "evidence")
        loop = block.text[block.text.index("for signed") :]
        done = subprocess.run(("bash", "-c", loop), cwd=scene.folder, capture_output=True, text=True, timeout=30)
        assert done.stdout.count("Signature Verified Successfully") == 1
        return
    with pytest.raises(AssertionError, match="broken at entry 7"):
        RUNS[name](scene)


async def _forge(home: Home) -> None:
    records = Records.at(home.database)
    await records.open()
    async with records.write() as connection:
        await connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        await connection.exec_driver_sql("UPDATE audit SET outcome = 'denied' WHERE seq = 7")
    await records.close()


@cache
def made() -> dict[str, str]:
    """The reference pages as they should be."""
    return pages(ROOT)


def test_the_generated_reference_is_up_to_date() -> None:
    there = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / FOLDER).glob("*.md")}
    stale = sorted(name for name in {*there, *made()} if there.get(name) != made().get(name))
    assert stale == [], "run .venv/bin/python -m ripple.surfaces.reference"


def test_every_verb_and_every_route_stands_in_the_reference() -> None:
    lines = set("\n".join(made().values()).splitlines())
    verbs = [" ".join(("./ripple", *path)) for path, _ in commands.verbs()]
    assert [verb for verb in verbs if not any(line.startswith(f"## `{verb}") for line in lines)] == []
    found = [f"## `{method} {path}`" for method, path, _ in routes.routes(routes.openapi())]
    assert [route for route in found if route not in lines] == []
    assert len(verbs) > 20
    assert len(found) > 20


def test_the_schema_of_an_answer_is_shown_word_for_word() -> None:
    assert (ROOT / "schemas" / "candidate.json").read_text(encoding="utf-8") in documents()[
        f"{FOLDER}/candidate.md"
    ]


def shown(verb: str) -> dict[str, Any]:
    """The JSON document shown under one heading of the contracts."""
    text = documents()["docs/reference/contracts.md"]
    section = text[text.index(f"## `{verb}`") :]
    found = next(block for block in fenced("contracts.md", section) if block.language == "json")
    document: dict[str, Any] = json.loads(found.text)
    return document


def test_the_contracts_name_the_fields_that_are_there() -> None:
    status = shown("status --json")
    assert set(status) == set(Status.model_fields)
    assert set(status["components"][0]) == set(ComponentStatus.model_fields)
    assert set(shown("change submit --json")) == set(SHORT)
    text = documents()["docs/reference/contracts.md"]
    assert [state for state in ComponentState if f"`{state}`" not in text] == []


def test_every_decision_has_its_four_headings_and_stands_in_the_index() -> None:
    files = sorted((DOCS / "adr").glob("[0-9]*.md"))
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    index = documents()["docs/adr/README.md"]
    for file in files:
        text = file.read_text(encoding="utf-8")
        title = text.splitlines()[0]
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS, file.name
        assert title.startswith(f"# {int(file.name[:4])}. "), file.name
        assert f"[{title.removeprefix('# ')}]({file.name})" in index, file.name


def test_every_example_of_a_manifest_is_one() -> None:
    whole: dict[str, Any] = {}
    for block in fenced("add-your-application.md", documents()["docs/how-to/add-your-application.md"]):
        if block.language == "yaml" and block.text.startswith("# environments/"):
            parse(EnvironmentOverlay, parse_yaml(block.text, block.place), block.place)
        elif block.language == "yaml":
            whole |= parse_yaml(block.text, block.place)
            parse(ApplicationManifest, whole, block.place)
    assert len(whole) > 4


def test_the_example_of_a_component_becomes_a_part_of_everything_made_of_the_map() -> None:
    row, run = (
        block for block in fenced("", documents()["docs/adding-a-component.md"]) if block.language == "yaml"
    )
    (given,) = parse_yaml(row.text, row.place)
    found = parse(System, {**given, **parse_yaml(run.text, run.place)}, row.place)
    rows = load_map(ROOT / "manifests")
    added = StackMap((*rows.rows, Placed(found, rows.get("nushell").layer, rows.get("nushell").file)))
    made = generated(added, {found.role: "Searches"}, VendorLock(), ())
    for name in ("docs/STACK.md", "catalog-info.yaml", "tables/ports.csv"):
        assert "ripgrep" in made[name] or "echo" in made[name], name
    assert found.smoke is not None
    assert [step.expect for step in found.smoke.steps] == ["^two$"]


def test_the_example_of_a_policy_passes_its_own_tests(tmp_path: Path) -> None:
    policy, tests = (
        block.text for block in fenced("", documents()["docs/adding-a-policy.md"]) if block.language == "rego"
    )
    (tmp_path / "painting.rego").write_text(policy)
    (tmp_path / "painting_test.rego").write_text(tests)
    results = run_tests(tmp_path)
    assert [(one.rule, one.reason) for one in results if not one.passed] == []
    assert len(results) == 2


def test_no_page_tells_how_it_was_made_or_leaves_something_for_later() -> None:
    told = [f"{name}: {found[0]}" for name, text in documents().items() for found in MAKING.finditer(text)]
    later = [f"{name}: {found[0]}" for name, text in documents().items() for found in UNFINISHED.finditer(text)]
    assert (told, later) == ([], [])


def test_no_dependency_has_a_licence_that_the_default_install_must_not_hold() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    names = re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)
    stated = {name: found for name in names if (found := licence(name)) is not None}
    assert len(stated) > len(names) // 2
    assert {
        name: text for name, text in stated.items() if FORBIDDEN.search(text) or not LICENCES.search(text)
    } == {}


def licence(name: str) -> str | None:
    """What an installed package says its licence is, None when it is not installed here."""
    try:
        found = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    classifiers = [one for one in found.get_all("Classifier") or [] if one.startswith("License")]
    stated = [*(found.get_all("License-Expression") or []), *(one[:200] for one in found.get_all("License") or [])]
    return " ".join([*stated, *classifiers])


def test_the_pages_load_only_packages_whose_licence_is_known() -> None:
    lock = json.loads((ROOT / "console" / "package-lock.json").read_text(encoding="utf-8"))
    stated = {str(row.get("license")) for name, row in lock["packages"].items() if name}
    assert stated <= {"MIT", "Apache-2.0", "Apache-2.0 AND MIT"}
