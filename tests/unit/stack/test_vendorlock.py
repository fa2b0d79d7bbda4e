"""The lock says what every system is made of, and stays whole when several change it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripple.model.errors import Invalid
from ripple.model.purl import PackageUrl, parse_purl
from ripple.model.system import Layer, LockedFile, LockedRoute, RouteKind, System, VendorLock
from ripple.stack.proven import lock_digest
from ripple.stack.systems import Placed, StackMap
from ripple.stack.vendorlock import (
    check_lock,
    drop_from_lock,
    failed_entry,
    load_lock,
    lock_text,
    merged,
    pairs,
    update_lock,
)

HERE = "linux-x86_64"
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
FILES = st.builds(
    LockedFile,
    url=TEXT,
    sha256=st.just("0" * 64),
    size=st.integers(0, 1 << 40),
    into=st.sampled_from(("", "node_modules/a", "node_modules/@a/b")),
)
ROUTES = st.builds(
    LockedRoute, route=st.sampled_from(RouteKind), version=TEXT, signer=TEXT,
    files=st.lists(FILES, max_size=3).map(tuple),
)  # fmt: skip
LOCKS = st.builds(
    VendorLock,
    systems=st.dictionaries(
        TEXT, st.dictionaries(TEXT, st.lists(ROUTES, max_size=2).map(tuple), max_size=2), max_size=4
    ),
)


def a_system(name: str, *routes: dict[str, Any]) -> System:
    return System.model_validate({
        "id": name, "name": name, "kind": "cli", "role": "dev.json", "status": "optional",
        "summary": "a system of a test", "routes": routes,
        "answers": {"owner": "nobody", "adoption": "first", "failure_modes": ["none"], "rollback": "remove it"},
        "external": {"why": "it is only a test's", "covered_by": "nothing yet"},
    })  # fmt: skip


def a_route(kind: str, version: str, *urls: str) -> LockedRoute:
    files = tuple(LockedFile(url=url, sha256="1" * 64, size=1) for url in urls)
    return LockedRoute(route=RouteKind(kind), version=version, signer="the test", files=files)


def a_map(*systems: System) -> StackMap:
    layer = Layer(id="1.3", name="Tools", purpose="tests")
    return StackMap(tuple(Placed(system, layer, Path("x.yaml")) for system in systems))


@given(LOCKS)
def test_a_lock_that_was_written_is_read_back_equal(lock: VendorLock) -> None:
    assert VendorLock.model_validate(json.loads(lock_text(lock))) == lock


@given(LOCKS)
def test_every_file_stands_on_a_line_of_its_own_and_everything_is_sorted(lock: VendorLock) -> None:
    text = lock_text(lock)
    files = [
        file
        for platforms in lock.systems.values()
        for routes in platforms.values()
        for route in routes
        for file in route.files
    ]
    assert len([line for line in text.splitlines() if line.startswith('        {"url"')]) == len(files)
    names = list(json.loads(text)["systems"])
    assert names == sorted(names)
    assert lock_text(VendorLock(systems=dict(reversed(lock.systems.items())))) == text


def test_updating_one_system_leaves_the_others_and_other_platforms(tmp_path: Path) -> None:
    first = (a_route("pypi", "1", "pkg:pypi/a@1"),)
    update_lock(tmp_path, "macos-arm64", {"a": first})
    update_lock(tmp_path, HERE, {"b": ()})
    update_lock(tmp_path, HERE, {"a": first})
    assert load_lock(tmp_path).systems == {"a": {"macos-arm64": first, HERE: first}, "b": {HERE: ()}}
    assert list(drop_from_lock(tmp_path, ["a"]).systems) == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["vendor.lock.json"]


UPDATE = """
import sys
from pathlib import Path
from ripple.model.system import LockedRoute, RouteKind
from ripple.stack.vendorlock import update_lock
for number in range(20):
    route = LockedRoute(route=RouteKind.PYPI, version=str(number), signer="x")
    update_lock(Path(sys.argv[1]), "linux-x86_64", {f"{sys.argv[2]}-{number}": (route,)})
"""


def test_processes_that_update_at_once_lose_nothing(tmp_path: Path) -> None:
    source = str(Path(__file__).parents[3] / "src")
    running = [
        subprocess.Popen([sys.executable, "-c", UPDATE, str(tmp_path), name], env={"PYTHONPATH": source})
        for name in ("a", "b", "c")
    ]
    assert [one.wait(60) for one in running] == [0, 0, 0]
    assert len(load_lock(tmp_path).systems) == 60


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2}', '{"version": 1, "sistems": {}}'])
def test_what_is_no_lock_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "vendor.lock.json").write_text(text)
    with pytest.raises(Invalid, match=r"vendor\.lock\.json"):
        load_lock(tmp_path)


@pytest.mark.parametrize(
    ("route", "url"),
    [
        ({"kind": "pypi", "package": "Nats_Py", "version": "1.0"}, "pkg:pypi/nats-py@1.0?file_name=x.whl"),
        ({"kind": "npm", "package": "@a/b", "version": "1.0"}, "pkg:npm/%40a/b@1.0"),
        ({"kind": "debian", "package": "jq"}, "pkg:deb/debian/jq@1.0?arch=amd64"),
        ({"kind": "go", "package": "example.test/m/cmd/x", "version": "1.0"}, "pkg:golang/example.test/m@1.0"),
        ({"kind": "crates", "package": "hexyl", "version": "1.0"}, "pkg:cargo/hexyl@1.0"),
        ({"kind": "maven", "package": "g.h:a:zip", "version": "1.0"}, "pkg:maven/g.h/a@1.0?type=zip"),
        ({"kind": "url", "package": "https://x.example/a", "version": "1.0"}, "https://x.example/a"),
    ],
)
def test_a_locked_route_belongs_to_the_route_of_its_package(route: dict[str, Any], url: str) -> None:
    system = a_system("s", {**route, "package": f"other{route['package']}x"}, route)
    locked = a_route(route["kind"], "1.0", url)
    found = pairs(system, VendorLock(systems={"s": {HERE: (locked,)}}), HERE)
    assert [pair.locked for pair in found] == [None, locked]


def test_a_route_for_another_platform_is_left_out() -> None:
    system = a_system("s", {"kind": "pypi", "package": "a", "platforms": ["macos-arm64"]})
    assert pairs(system, VendorLock(), HERE) == []


def test_a_route_that_cannot_be_resolved_now_keeps_what_was_locked() -> None:
    system = a_system(
        "s", {"kind": "pypi", "package": "a", "version": "1"}, {"kind": "npm", "package": "b", "version": "2"}
    )
    first, second = a_route("pypi", "1", "pkg:pypi/a@1"), a_route("npm", "2", "pkg:npm/b@2")
    lock = VendorLock(systems={"s": {HERE: (first, second)}})
    newer = first.model_copy(update={"signer": "another"})
    assert merged(system, (newer,), lock, HERE) == (newer, second)
    assert merged(system, (), lock, HERE) == (first, second)
    assert merged(system, (), VendorLock(), HERE) == ()
    moved = a_system("s", {"kind": "pypi", "package": "a", "version": "3"})
    assert merged(moved, (), lock, HERE) == ()


def problems(system: System, *locked: LockedRoute) -> list[str]:
    lock = VendorLock(systems={system.id: {HERE: locked}})
    return [finding.problem for finding in check_lock(a_map(system), lock, HERE)]


def test_a_lock_that_is_what_the_map_asks_for_has_no_finding() -> None:
    system = a_system("s", {"kind": "pypi", "package": "a", "version": "1", "also": ["b==2", "c[x]>=1"]})
    locked = a_route("pypi", "1", "pkg:pypi/a@1", "pkg:pypi/b@2", "pkg:pypi/c@7")
    assert problems(system, locked) == []
    assert check_lock(a_map(a_system("t")), VendorLock(), HERE) == []


def test_a_route_that_was_tried_is_known_from_one_that_was_never_tried() -> None:
    first = {"kind": "pypi", "package": "a", "version": "1"}
    added = {"kind": "npm", "package": "b", "version": "2"}
    system = a_system("s", first, added, {"kind": "oci", "package": "x/y"}, {"kind": "nix", "package": "z"})
    locked, tried = a_route("pypi", "1", "pkg:pypi/a@1"), failed_entry(system.routes[1])
    assert problems(system, locked) == ["has the route npm b, which nobody has tried to lock"]
    assert problems(system, locked, tried) == []
    assert problems(a_system("s", first), locked, tried) == ["holds npm b 2, which no route of the row asks for"]
    for changed in ({"version": "3"}, {"also": ["c@1"]}):
        assert problems(a_system("s", first, {**added, **changed}), locked, tried) == [
            "has the route npm b, which nobody has tried to lock",
            "holds npm b 2, which no route of the row asks for",
        ]
    lock = VendorLock(systems={"s": {HERE: (locked, tried)}})
    pair = pairs(system, lock, HERE)[1]
    assert (pair.locked, pair.why) == (None, "it could not be had when it was locked")
    without = VendorLock(systems={"s": {HERE: (locked,)}})
    assert lock_digest(system, lock, HERE) == lock_digest(system, without, HERE), "its evidence still holds"


def test_that_a_route_failed_is_kept_until_it_works() -> None:
    system = a_system("s", {"kind": "pypi", "package": "a", "version": "1"})
    tried, works = failed_entry(system.routes[0]), a_route("pypi", "1", "pkg:pypi/a@1")
    lock = VendorLock(systems={"s": {HERE: (tried,)}})
    assert merged(system, (tried,), VendorLock(), HERE) == (tried,)
    assert merged(system, (), lock, HERE) == (tried,)
    assert merged(system, (works,), lock, HERE) == (works,)
    assert merged(system, (tried,), VendorLock(systems={"s": {HERE: (works,)}}), HERE) == (works,)


def test_each_disagreement_of_lock_and_map_is_found_with_its_fix() -> None:
    system = a_system("s", {"kind": "pypi", "package": "a", "version": "1", "also": ["b==2"]})
    old = a_route("pypi", "0", "pkg:pypi/a@0", "pkg:pypi/b@2")
    assert "which no route of the row asks for" in problems(system, old)[0]
    less = a_route("pypi", "1", "pkg:pypi/a@1")
    assert "which no route of the row asks for" in problems(system, less)[0]
    assert (
        pairs(system, VendorLock(systems={"s": {HERE: (less,)}}), HERE)[0].why
        == "the lock lacks b, which the row adds"
    )
    other = a_route("pypi", "1", "pkg:pypi/a@1", "pkg:pypi/b@3")
    assert (
        pairs(system, VendorLock(systems={"s": {HERE: (other,)}}), HERE)[0].why
        == "the lock holds b 3, the row says 2"
    )
    unlocked = check_lock(a_map(system), VendorLock(), HERE)
    assert [(one.problem, one.fix) for one in unlocked] == [
        (f"has routes and is not locked for {HERE}", "./ripple lock update s")
    ]
    gone = check_lock(a_map(), VendorLock(systems={"old": {}}), HERE)
    assert [(one.system, one.fix) for one in gone] == [("old", "./ripple lock update --drop old")]


def test_a_locked_file_at_a_plain_address_is_found() -> None:
    system = a_system("s", {"kind": "npm", "package": "a", "version": "1"})
    found = problems(system, a_route("npm", "1", "pkg:npm/a@1", "http://registry.example/b.tgz"))
    assert found == ["names 'http://registry.example/b.tgz', which is neither a package URL nor an https address"]


NAMES = st.lists(st.text("abz09._~-@ ü%", min_size=1, max_size=6), min_size=1, max_size=3).map("/".join)


@given(
    NAMES, st.text("0123456789abc.:+~-_/@ ", max_size=12), st.dictionaries(st.sampled_from(["arch", "type"]), TEXT)
)
def test_a_package_url_is_read_back_equal(name: str, version: str, qualifiers: dict[str, str]) -> None:
    purl = PackageUrl("deb", name, version, qualifiers)
    assert parse_purl(str(purl)) == purl


@pytest.mark.parametrize("text", ["pypi/a@1", "pkg:pypi", "pkg:/a", "https://x.example", "pkg:pypi/@1"])
def test_what_is_no_package_url_is_an_error(text: str) -> None:
    with pytest.raises(Invalid, match="is not a package URL"):
        parse_purl(text)
