"""An instance as a whole: what it says of itself, beside another one, after a forged audit row, and stopped."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from tests.e2e.instance import Instance, make_application, until
from tests.e2e.provider import Endpoint

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
COMPONENT_KEYS = {
    "id",
    "name",
    "version",
    "state",
    "pid",
    "ready_seconds",
    "rss_bytes",
    "endpoints",
    "waiting_for",
    "restarts",
    "reason",
    "since",
    "group",
}


@pytest.fixture(scope="module")
def pair(short_home: Path) -> Iterator[tuple[Instance, Instance]]:
    both = Instance(short_home / "a"), Instance(short_home / "b")
    for one in both:
        one.up()
    yield both
    for one in both:
        one.down()


def test_status_tells_true_names_versions_ports_and_memory(pair: tuple[Instance, Instance]) -> None:
    found = pair[0].json("status")
    assert set(found) == {"ready", "profile", "url", "components"}
    assert found["ready"] is True
    assert found["profile"] == "laptop"
    rows = {row["id"]: row for row in found["components"]}
    assert {"nats", "temporal", "caddy", "api", "worker"} <= set(rows)
    for row in rows.values():
        assert set(row) == COMPONENT_KEYS
        assert row["state"] == "ready"
        assert row["version"]
        assert row["rss_bytes"] > 1_000_000
        assert 0 < row["ready_seconds"] < 60
        assert psutil.pid_exists(row["pid"])
    assert httpx.get(f"{found['url']}/healthz", timeout=30, trust_env=False).text == "ok\n"


def test_two_instances_run_side_by_side_without_a_port_in_common(pair: tuple[Instance, Instance]) -> None:
    urls = []
    for one in pair:
        found = one.json("status")
        urls += [url for row in found["components"] for url in row["endpoints"].values()]
    assert urls
    assert len(urls) == len(set(urls))


def test_the_sign_in_link_works_once(pair: tuple[Instance, Instance]) -> None:
    api, _, token = pair[0].link.partition("/#/sign-in/")
    with httpx.Client(base_url=api, timeout=30, trust_env=False) as browser:
        assert browser.get("/api/me").status_code == 401
        assert browser.post("/api/sign-in", json={"token": token}).status_code == 204
        assert browser.get("/api/me").json()["principal"] == "operator:local"
    with httpx.Client(base_url=api, timeout=30, trust_env=False) as other:
        assert other.post("/api/sign-in", json={"token": token}).status_code == 403


def test_foreign_pages_and_rebound_names_are_refused(pair: tuple[Instance, Instance]) -> None:
    url = pair[0].json("status")["url"]
    rebound = httpx.get(f"{url}/api/me", headers={"host": "evil.example"}, timeout=30, trust_env=False)
    assert rebound.status_code == 403
    assert "evil.example" in rebound.json()["error"]["message"]


def test_every_operator_verb_has_a_route_in_the_openapi_document(pair: tuple[Instance, Instance]) -> None:
    paths = pair[0].api.get("/openapi.json").json()["paths"]
    wanted = ("/api/status", "/api/applications", "/api/changes", "/api/providers", "/api/models", "/api/audit")
    assert set(wanted) <= set(paths)
    assert {"/api/config", "/api/components/{component}/restart", "/api/changes/{change_id}/rollback"} <= set(
        paths
    )


def test_an_unknown_key_in_an_application_names_the_nearest_one(
    pair: tuple[Instance, Instance], tmp_path: Path
) -> None:
    def misspell(root: Path) -> None:
        manifest = root / "ripple.app.yaml"
        manifest.write_text(manifest.read_text().replace("toolchain:", "toolchian:"))

    folder = make_application(tmp_path / "shop", "shop", misspell)
    done = pair[0].run("app", "add", str(folder), check=False)
    assert done.returncode == 1
    assert "'toolchain'" in done.stderr


def test_a_provider_is_added_asked_and_removed_by_its_verbs(
    pair: tuple[Instance, Instance], endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pair[0].env, "TEST_MODEL_KEY", "sk-very-secret")
    endpoint.replies["verbose"] = "four"
    told = ("--tier", "cloud", "--base-url", endpoint.url, "--model", "verbose", "--weight", "1.2")
    pair[0].run("provider", "add", "verbose", *told, "--key-env", "TEST_MODEL_KEY")
    assert pair[0].json("provider", "test", "verbose")["ok"] is True
    listed = pair[0].run("provider", "list", "--json").stdout
    assert "verbose" in listed
    assert "sk-very-secret" not in listed
    assert b"sk-very-secret" not in (pair[0].home / "state" / "ripple.db").read_bytes()
    pair[0].run("provider", "remove", "verbose")
    assert "verbose" not in pair[0].run("provider", "list", "--json").stdout


def test_a_restarted_component_is_ready_again(pair: tuple[Instance, Instance]) -> None:
    before = pair[1].pid("nats")
    assert pair[1].api.post("/api/components/nats/restart").status_code == 202
    pair[1].json("up", "--no-models")
    assert pair[1].pid("nats") not in (0, before)


def test_a_restarted_group_is_ready_again_and_nothing_else_was_restarted(pair: tuple[Instance, Instance]) -> None:
    names = ("api", "worker", "nats", "temporal", "caddy")
    before = {name: pair[1].pid(name) for name in names}
    assert pair[1].json("restart", "ripple", "--group") == {"group": "ripple"}
    until(lambda: pair[1].pid("api") not in (0, before["api"]), "a new API")
    pair[1].json("up", "--no-models")
    after = {name: pair[1].pid(name) for name in names}
    assert {name for name in names if after[name] != before[name]} == {"api", "worker"}
    assert pair[1].run("restart", "nobody", "--group", check=False).returncode == 1


def test_a_forged_audit_row_is_found(pair: tuple[Instance, Instance]) -> None:
    forged = pair[1]
    assert forged.json("audit", "verify")["ok"] is True
    with contextlib.closing(sqlite3.connect(forged.home / "state" / "ripple.db")) as connection, connection:
        with pytest.raises(sqlite3.DatabaseError):
            connection.execute("UPDATE audit SET outcome='denied' WHERE seq=1")
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE audit SET outcome='denied' WHERE seq=1")
    done = forged.run("audit", "verify", "--json", check=False)
    assert done.returncode == 1
    assert '"ok": false' in done.stdout


def test_after_down_nothing_of_the_instance_is_left(pair: tuple[Instance, Instance]) -> None:
    one = pair[1]
    one.down()
    left = [
        process.cmdline()
        for process in psutil.process_iter()
        if any(str(one.home) in part for part in _words(process))
    ]
    assert left == []
    assert one.json("status", check=False)["ready"] is False


def _words(process: psutil.Process) -> list[str]:
    try:
        return [*process.cmdline(), *process.environ().values()]
    except psutil.Error:
        return []
