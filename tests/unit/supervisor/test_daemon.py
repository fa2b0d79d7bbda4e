"""A real daemon over small real processes: it starts, watches, restarts, survives and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from tests.unit.supervisor.conftest import SERVICE, Instance, alive, extra, until

from ripple.model.component import Component, ComponentState
from ripple.model.errors import Conflict, DeadlineExceeded, Invalid, NotFound, Refused, Unavailable
from ripple.model.paths import Home
from ripple.supervisor import start
from ripple.supervisor.client import SupervisorClient
from ripple.supervisor.journal import Journal
from ripple.supervisor.lock import locked
from ripple.supervisor.places import control_socket

S = ComponentState


@contextmanager
def squatting(port: int) -> Iterator[None]:
    """Somebody else listens on the port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


def test_without_a_supervisor_every_call_says_so(tmp_path: Path) -> None:
    client = SupervisorClient(Home(tmp_path))
    with pytest.raises(Unavailable, match=r"no supervisor runs.*ripple up"):
        anyio.run(client.status)
    with pytest.raises(Unavailable):
        anyio.run(client.remove, "x")
    start.stop(Home(tmp_path))


def test_an_instance_starts_in_order_and_shows_what_runs(instance: Instance) -> None:
    first, second = instance.row("first"), instance.row("second", "dump", requires=["first"])
    second["env"] = {"FIRST": "{peer.first.http}"}
    instance.write(first, second, url="http://127.0.0.1:{peer.second.http}")
    status = instance.up()
    assert status.ready
    ports = json.loads(instance.home.endpoints.read_text())
    assert status.url == f"http://127.0.0.1:{ports['second']['http']}"
    shown = {one.id: one for one in status.components}
    assert shown["first"].pid == instance.starts("first")[0]
    assert shown["second"].endpoints == {"http": status.url}
    assert 0 < (shown["second"].ready_seconds or 0) < 10
    # The first answer may have been measured before it had begun, and is kept for two seconds.
    until(lambda: (instance.of("second").rss_bytes or 0) > 1_000_000, "its memory is shown")
    assert httpx.get(status.url, trust_env=False).status_code == 200
    began = [float((instance.folder(name) / "starts").read_text().split()[1]) for name in ("first", "second")]
    assert began[0] < began[1]
    assert f"FIRST={ports['first']['http']}" in (instance.folder("second") / "env").read_text()
    assert "serving as" in instance.call(lambda client: client.logs("second", 10))
    assert '"event": "start"' in instance.call(lambda client: client.logs("supervisor", 100))


def test_folders_sockets_and_the_token_belong_to_their_owner_only(instance: Instance) -> None:
    instance.write(instance.row("one"))
    instance.up()
    for path in (instance.home.run, instance.home.keys, instance.home.secrets, instance.home.logs):
        assert path.stat().st_mode & 0o777 == 0o700, path
    private = [instance.home.operator_token, control_socket(instance.home), instance.home.logs / "one.log"]
    assert [path.stat().st_mode & 0o777 for path in private] == [0o600] * 3
    token = instance.home.operator_token.read_text()
    assert len(token.strip()) >= 43
    start.stop(instance.home)
    instance.up()
    assert instance.home.operator_token.read_text() == token, "it is made once"


def test_starting_again_changes_nothing_and_many_at_once_start_one(instance: Instance) -> None:
    instance.write(instance.row("one"))
    threads = [threading.Thread(target=instance.up, kwargs={"ready": False}) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    instance.up()
    daemon = instance.daemon
    instance.up()
    assert instance.daemon == daemon
    assert len(instance.starts("one")) == 1
    with pytest.raises(Conflict, match=f"pid {daemon}"), locked(instance.home):
        pass


def test_children_get_a_short_list_of_variables_and_never_the_operators(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPERATORS_SECRET", "hunter2")
    monkeypatch.setenv("ALLOWED", "yes")
    monkeypatch.setenv("TZ", "Europe/Vienna")
    own, server = instance.row("own", "dump"), instance.row("server", "dump")
    # A module of that name in the state folder, which is where it is started, comes before Ripple's own.
    text = SERVICE.read_text().replace("{", "{{").replace("}", "}}")
    own["files"] = {"ripple/__init__.py": "", "ripple/service.py": text}
    own["command"][:4] = ["{python}", "-m", "ripple.service"]
    server["command"][0] = "{python}"
    instance.write(own, server, instance.row("foreign", "dump", pass_env=["ALLOWED"]), pass_env=["HOME"])
    instance.up()
    found = {}
    for name in ("own", "server", "foreign"):
        lines = (instance.folder(name) / "env").read_text().splitlines()
        found[name] = dict(line.split("=", 1) for line in lines)
    python = {"RIPPLE_HOME", "PYTHONPATH", "PYTHONUNBUFFERED"}
    standing = {"PATH", "HOME", "LANG", "TZ", "RIPPLE_LAUNCH", "LC_CTYPE", "LC_ALL"}
    assert set(found["foreign"]) <= standing | {"ALLOWED"}
    assert set(found["server"]) <= standing
    assert found["server"]["HOME"] == str(instance.home.state / "server")
    assert found["foreign"]["ALLOWED"] == "yes"
    assert found["foreign"]["HOME"] == str(instance.home.state / "foreign")
    assert set(found["own"]) <= standing | python
    assert found["own"]["RIPPLE_HOME"] == str(instance.home.root)
    assert found["own"]["HOME"] == os.environ["HOME"]
    assert "hunter2" not in str(found)


def test_a_process_that_is_killed_comes_back_with_the_same_port(instance: Instance) -> None:
    instance.write(instance.row("one"), instance.row("two", requires=["one"]))
    instance.up()
    before, port = instance.of("one"), instance.of("one").endpoints
    os.kill(before.pid or 0, signal.SIGKILL)
    until(lambda: instance.of("one").pid not in (None, before.pid), "a new process")
    instance.call(lambda client: client.wait(["one"], S.READY, 10))
    after = instance.of("one")
    assert (after.endpoints, after.restarts) == (port, 1)
    assert len(instance.starts("two")) == 1, "what depends on it went on running"


def test_a_crashing_component_is_given_up_and_waiting_for_it_ends_early(instance: Instance) -> None:
    rules = {"initial_seconds": 0.02, "max_seconds": 0.02, "give_up_after": 2}
    instance.write(instance.row("bad", "crash", restart=rules), instance.row("late", requires=["bad"]))
    instance.up(ready=False)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"gave_up.*status 3"):
        instance.call(lambda client: client.wait(["bad"], S.READY, 60))
    assert time.monotonic() - began < 15
    assert len(instance.starts("bad")) == 3
    status = instance.status()
    assert not status.ready
    late = next(one for one in status.components if one.id == "late")
    assert (late.state, late.waiting_for, late.pid) == (S.WAITING, ["bad"], None)
    instance.call(lambda client: client.restart("bad"))
    until(lambda: len(instance.starts("bad")) > 3, "another try")


def test_an_end_that_is_meant_is_no_failure(instance: Instance) -> None:
    instance.write(instance.row("job", "done", restart={"when": "on_failure"}))
    instance.up(ready=False)
    with pytest.raises(Unavailable, match="exited with status 0"):
        instance.call(lambda client: client.wait(["job"], S.READY, 10))
    instance.call(lambda client: client.wait(["job"], S.EXITED, 10))
    assert len(instance.starts("job")) == 1


def test_a_sick_component_is_unready_and_a_dead_one_is_restarted(instance: Instance) -> None:
    pulse = instance.root / "pulse"
    pulse.touch()
    live = {"kind": "file", "target": str(pulse), "period_seconds": 0.1, "failures": 2}
    quick = {"kind": "http", "target": "http://127.0.0.1:{ports.http}/", "failures": 1}
    instance.write(instance.row("one", ready=quick, live=live))
    instance.up()
    pid = instance.of("one").pid
    (instance.folder("one") / "sick").touch()
    instance.call(lambda client: client.wait(["one"], S.UNREADY, 10))
    until(lambda: "503" in instance.of("one").reason, "it says why")
    assert instance.of("one").pid == pid
    assert not instance.status().ready
    pulse.unlink()
    until(lambda: len(instance.starts("one")) == 2, "a restart by the live probe")
    # While it is sick it has not started, so the live probe does not count until both are well again.
    pulse.touch()
    (instance.folder("one") / "sick").unlink()
    instance.call(lambda client: client.wait(["one"], S.READY, 10))
    assert instance.of("one").restarts == 1
    assert len(instance.starts("one")) == 2


def test_a_live_probe_that_asks_what_the_ready_probe_asks_restarts_too(instance: Instance) -> None:
    both = {"kind": "http", "target": "http://127.0.0.1:{ports.http}/", "period_seconds": 0.1}
    instance.write(instance.row("one", ready=both, live=both))
    instance.up()
    (instance.folder("one") / "sick").touch()
    until(lambda: len(instance.starts("one")) > 1, "a restart by the live probe")
    (instance.folder("one") / "sick").unlink()
    instance.call(lambda client: client.wait(["one"], S.READY, 30))


def test_a_port_that_somebody_took_is_left_to_them_and_who_uses_it_learns_the_new_one(instance: Instance) -> None:
    user = instance.row("user", "dump", env={"ONE": "{peer.one.http}"})
    instance.write(instance.row("one"), user)
    instance.up()
    port = json.loads(instance.home.endpoints.read_text())["one"]["http"]
    start.stop(instance.home)
    with squatting(port):
        instance.up()
        moved = json.loads(instance.home.endpoints.read_text())["one"]["http"]
        assert moved != port
    assert f"ONE={moved}" in (instance.folder("user") / "env").read_text()
    assert len(instance.starts("user")) == 2
    assert "taken by a foreign process" in instance.call(lambda client: client.logs("supervisor", 200))


def test_a_port_that_is_stolen_between_two_starts_moves_the_users_too(instance: Instance) -> None:
    # It stays down until it is asked for: the port has to be taken before its next start.
    rules = {"initial_seconds": 60, "max_seconds": 60}
    instance.write(
        instance.row("one", restart=rules), instance.row("user", "dump", env={"ONE": "{peer.one.http}"})
    )
    instance.up()
    port = json.loads(instance.home.endpoints.read_text())["one"]["http"]
    os.kill(instance.of("one").pid or 0, signal.SIGKILL)
    until(lambda: instance.of("one").state is S.BACKOFF, "it is down")
    with squatting(port):
        instance.call(lambda client: client.restart("one"))
        until(lambda: len(instance.starts("one")) == 2, "a second start")
        until(lambda: len(instance.starts("user")) == 2, "its user started again")
    instance.call(lambda client: client.wait(["one", "user"], S.READY, 30))
    moved = json.loads(instance.home.endpoints.read_text())["one"]["http"]
    assert moved != port
    assert f"ONE={moved}" in (instance.folder("user") / "env").read_text()


def test_a_killed_supervisor_finds_its_processes_again(instance: Instance) -> None:
    instance.write(instance.row("one"), instance.row("two", requires=["one"]))
    instance.up()
    added = extra(instance, "added")
    instance.call(lambda client: client.apply(added))
    instance.call(lambda client: client.wait(["added"], S.READY, 10))
    before = {one.id: (one.pid, one.ready_seconds) for one in instance.status().components}
    assert set(before) == {"one", "two", "added"}
    instance.kill_daemon()
    with pytest.raises(Unavailable):
        instance.status()
    assert all(pid and alive(pid) for pid, _ in before.values()), "they outlive it"
    status = instance.up()
    assert {one.id: (one.pid, one.ready_seconds) for one in status.components} == before
    os.kill(before["one"][0] or 0, signal.SIGKILL)
    until(lambda: instance.of("one").pid not in (None, before["one"][0]), "an adopted process is watched")


def test_after_a_killed_supervisor_the_dead_are_started_and_the_strays_ended(instance: Instance) -> None:
    instance.write(instance.row("one", "family"), instance.row("two"))
    instance.up()
    one, two = instance.of("one").pid, instance.of("two").pid
    family = set(until(lambda: len(instance.processes()) == 4 and instance.processes(), "the whole family"))
    instance.kill_daemon()
    os.kill(one or 0, signal.SIGKILL)
    until(lambda: not alive(one or 0), "its main process is gone")
    instance.up()
    assert instance.of("two").pid == two
    assert instance.of("one").pid != one
    assert not any(alive(pid) for pid in family - {two}), "what the dead one had started is gone"


def test_a_supervisor_killed_at_any_moment_of_its_start_leaves_no_process_twice(instance: Instance) -> None:
    rows = [instance.row(name, requires=["a"] if name == "c" else []) for name in ("a", "b", "c", "d")]
    instance.write(*rows)
    instance.up(ready=False)
    for delay in (0.0, 0.03, 0.1):
        time.sleep(delay)
        instance.kill_daemon()
        for pid in instance.processes()[:2]:
            os.kill(pid, signal.SIGKILL)
        instance.up(ready=False)
    status = instance.up()
    assert sorted(instance.processes()) == sorted(one.pid or 0 for one in status.components)
    latest = {name: instance.starts(name)[-1] for name in "abcd"}
    assert {one.id: one.pid for one in status.components} == latest


def test_a_process_whose_pid_was_never_written_down_is_found_by_its_mark(instance: Instance) -> None:
    instance.write(instance.row("one"))
    pid = instance.up().components[0].pid
    instance.kill_daemon()
    journal = Journal(instance.home)
    record = journal.started()[0]
    journal.write(record.model_copy(update={"pid": None, "ticks": None}))
    assert instance.up().components[0].pid == pid
    assert len(instance.starts("one")) == 1


def test_a_pid_that_belongs_to_somebody_else_now_is_not_touched(instance: Instance) -> None:
    instance.write(instance.row("one"))
    instance.up()
    start.stop(instance.home)
    bystander = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    try:
        instance.up()
        instance.kill_daemon()
        journal = Journal(instance.home)
        record = journal.started()[0]
        os.kill(record.pid or 0, signal.SIGKILL)
        journal.write(record.model_copy(update={"pid": bystander.pid}))
        assert instance.up().components[0].pid != bystander.pid
        start.stop(instance.home)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_other_manifests_replace_the_supervisor_but_only_what_changed_is_started_again(instance: Instance) -> None:
    keeps = instance.row("keeps")
    instance.write(keeps, instance.row("changes"))
    instance.up()
    daemon, kept, changed = instance.daemon, instance.of("keeps").pid, instance.of("changes").pid
    instance.write(keeps, instance.row("changes", env={"NEW": "1"}), instance.row("new"))
    status = instance.up()
    assert instance.daemon != daemon
    until(lambda: not alive(daemon), "the one before is gone")
    found = {one.id: one.pid for one in status.components}
    assert found["keeps"] == kept
    assert found["changes"] != changed
    assert set(found) == {"keeps", "changes", "new"}
    instance.write(keeps, profile="tiny")
    assert [(one.id, one.pid) for one in instance.up(profile="tiny").components] == [("keeps", kept)]
    assert instance.processes() == [kept]


def test_a_broken_manifest_is_refused_and_what_runs_goes_on(instance: Instance) -> None:
    instance.write(instance.row("one"))
    instance.up()
    daemon = instance.daemon
    instance.write(instance.row("one", startup_second=3))
    with pytest.raises(Invalid, match="startup_seconds"):
        instance.up()
    with pytest.raises(NotFound, match="there are: small"):
        start.ensure_running(instance.home, "../small", instance.manifests)
    assert instance.daemon == daemon
    assert instance.status().ready


def test_an_added_component_lives_by_its_client_and_outlives_the_instance(instance: Instance) -> None:
    instance.write(instance.row("one"))
    instance.up()
    added = extra(instance, "app.shop.dev.1234", "family")

    async def add(client: SupervisorClient) -> None:
        await client.apply(added)
        await client.wait([added.id], S.READY, 10)
        await client.apply(added)
        await client.wait([added.id], S.READY, 10)

    instance.call(add)
    assert len(instance.starts(added.id)) == 1, "the same one running is left alone"
    assert instance.status().ready
    start.stop(instance.home)
    assert instance.processes() == []
    instance.up()
    assert len(instance.starts(added.id)) == 2
    instance.call(lambda client: client.remove(added.id))
    assert not any(alive(pid) for pid in instance.starts(added.id))
    with pytest.raises(NotFound):
        instance.call(lambda client: client.remove(added.id))
    assert not (instance.home.logs / f"{added.id}.log").exists()
    instance.kill_daemon()
    assert [one.id for one in instance.up().components] == ["one"]


def test_what_is_being_removed_is_not_restarted(instance: Instance) -> None:
    instance.write(instance.row("one"))
    instance.up()
    instance.call(lambda client: client.apply(extra(instance, "app", "stubborn", stop_seconds=60)))
    instance.call(lambda client: client.wait(["app"], S.READY, 10))

    async def both(client: SupervisorClient) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(client.remove, "app")
            await client.wait(["app"], S.STOPPING, 10)
            with pytest.raises(Refused, match="app is being removed"):
                await client.restart("app")
            os.kill(instance.starts("app")[0], signal.SIGKILL)

    instance.call(both)
    assert len(instance.starts("app")) == 1
    assert [one.id for one in instance.status().components] == ["one"]


def test_replacing_an_added_component_waits_for_the_new_one(instance: Instance) -> None:
    instance.write(instance.row("one"))
    instance.up()
    instance.call(lambda client: client.apply(extra(instance, "app")))
    instance.call(lambda client: client.wait(["app"], S.READY, 10))
    first = instance.of("app").pid

    async def replace(client: SupervisorClient) -> None:
        await client.apply(extra(instance, "app", env={"X": "2"}))
        await client.wait(["app"], S.READY, 10)

    instance.call(replace)
    assert instance.of("app").pid not in (None, first)
    assert instance.starts("app") == [first, instance.of("app").pid]


def test_what_cannot_be_applied_is_refused_with_a_reason_and_changes_nothing(instance: Instance) -> None:
    instance.write(instance.row("one"))
    instance.up()
    with pytest.raises(Refused, match="belongs to profile small"):
        instance.call(lambda client: client.apply(extra(instance, "one")))
    with pytest.raises(Invalid, match=r"did you mean 'ports\.http'"):
        instance.call(lambda client: client.apply(extra(instance, "x", env={"A": "{ports.htp}"}, ports=("http",))))
    with pytest.raises(Invalid, match="requires absent"):
        instance.call(lambda client: client.apply(extra(instance, "x", requires=("absent",))))
    with pytest.raises(Invalid, match="state folder"):
        instance.call(lambda client: client.apply(extra(instance, "x", files={"../one/x": "y"})))
    with pytest.raises(Refused):
        instance.call(lambda client: client.remove("one"))
    assert [one.id for one in instance.status().components] == ["one"]
    instance.call(lambda client: client.apply(extra(instance, "y", ports=("http",))))
    assert set(json.loads(instance.home.endpoints.read_text())) == {"one", "y"}


def test_a_program_that_does_not_exist_is_a_failure_that_says_so(instance: Instance) -> None:
    instance.write(instance.row("one"))
    instance.up()
    rules = {"give_up_after": 1, "initial_seconds": 0.02}
    missing = Component.model_validate({"id": "x", "name": "x", "command": ("/no/such",), "restart": rules})
    instance.call(lambda client: client.apply(missing))
    with pytest.raises(Unavailable, match=r"cannot be started.*No such file"):
        instance.call(lambda client: client.wait(["x"], S.READY, 10))


def test_waiting_ends_at_its_deadline_and_for_the_unknown_at_once(instance: Instance) -> None:
    instance.write(instance.row("one"), instance.row("sick"))
    (instance.folder("sick") / "sick").touch()
    instance.up(ready=False)
    until(lambda: "503" in instance.of("sick").reason, "it answers")
    with pytest.raises(DeadlineExceeded, match=r"sick is starting: not ready: "):
        instance.call(lambda client: client.wait(["one", "sick"], S.READY, 0.6))
    with pytest.raises(NotFound):
        instance.call(lambda client: client.wait(["none"], S.READY, 10))


def test_garbage_on_the_control_socket_is_answered_and_harms_nothing(instance: Instance) -> None:
    instance.write(instance.row("one"))
    instance.up()
    answers = []
    for line in (b"\x00\xff\n", b"[]\n", b'{"do": "explode"}\n', b'{"do": "logs", "id": "../../etc/passwd"}\n'):
        with socket.socket(socket.AF_UNIX) as one:
            one.settimeout(5)
            one.connect(str(control_socket(instance.home)))
            one.sendall(line)
            answers.append(json.loads(one.recv(1 << 16)))
    assert all("error" in answer for answer in answers)
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(control_socket(instance.home)))
        one.sendall(b"x" * 100)
    assert instance.status().ready


def test_a_home_with_a_long_path_has_its_sockets_elsewhere(instance: Instance) -> None:
    long = instance.root / ("d" * 120)
    long.mkdir()
    instance.home = Home(long)
    instance.write(instance.row("one", env={"WHERE": "{run}"}))
    assert instance.up().ready
    folder = control_socket(instance.home).parent
    assert folder != instance.home.run
    assert folder.stat().st_mode & 0o777 == 0o700
    start.stop(instance.home)
    folder.rmdir()


def test_a_full_log_is_shortened_while_its_writer_goes_on(instance: Instance) -> None:
    chatter = "import time\nwhile True: print('x' * 99_999, flush=True); time.sleep(0.002)"
    instance.write(instance.row("one"))
    instance.up()
    loud = Component(id="loud", name="loud", command=(sys.executable, "-c", chatter))
    instance.call(lambda client: client.apply(loud))
    log = instance.home.logs / "loud.log"
    until(lambda: log.with_name("loud.log.1").exists(), "a rotation")
    assert log.with_name("loud.log.1").stat().st_size <= 8 << 20
    size = log.stat().st_size
    until(lambda: log.stat().st_size != size, "it goes on writing, maybe until the next rotation")
    instance.call(lambda client: client.remove("loud"))
    assert not log.with_name("loud.log.1").exists()
