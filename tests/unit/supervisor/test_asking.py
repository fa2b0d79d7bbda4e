"""When a real daemon asks which probe, and what it does with a row that is written otherwise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from tests.unit.supervisor.conftest import Instance, extra, until

from ripple.model.component import ComponentState, Probe
from ripple.model.errors import NotFound
from ripple.supervisor.client import SupervisorClient

S = ComponentState


def test_only_what_is_rendered_otherwise_is_started_again_and_new_probes_are_asked_at_once(
    instance: Instance,
) -> None:
    files = {"conf": "port {ports.http}"}
    rows = [instance.row("one", files=files), instance.row("two", files=files), instance.row("three")]
    instance.write(*rows)
    instance.up()
    before = {one.id: one.pid for one in instance.status().components}
    rows[0]["files"] = {"conf": "port {ports.http} again"}
    rows[1]["ready"] = {"kind": "file", "target": str(instance.root / "flag")}
    instance.write(*rows)
    instance.up(ready=False)
    until(lambda: instance.of("one").pid not in (None, before["one"]), "another process")
    instance.call(lambda client: client.wait(["one", "three"], S.READY, 10))
    assert (instance.home.state / "one" / "conf").read_text().endswith(" again")
    assert instance.of("two").state is S.STARTING, "it has to prove itself anew"
    (instance.root / "flag").touch()
    instance.call(lambda client: client.wait(["two"], S.READY, 10))
    assert [instance.of(name).pid for name in ("two", "three")] == [before["two"], before["three"]]


def test_new_probes_of_an_added_component_are_asked_without_a_restart(instance: Instance) -> None:
    instance.write(instance.row("one"))
    instance.up()
    instance.call(lambda client: client.apply(extra(instance, "app")))
    instance.call(lambda client: client.wait(["app"], S.READY, 10))
    absent = Probe(kind="file", target=str(instance.root / "flag"), failures=1)
    instance.call(lambda client: client.apply(extra(instance, "app", ready=absent)))
    until(lambda: instance.of("app").state is S.UNREADY, "the new probe is asked")
    assert len(instance.starts("app")) == 1


def test_deep_probes_are_asked_on_demand_and_only_then(instance: Instance) -> None:
    asked = instance.root / "asked"
    command = ["/bin/sh", "-c", f"echo once >> {asked}; test -e {instance.root}/works"]
    deep = {"kind": "exec", "command": command, "timeout_seconds": 30}
    instance.write(instance.row("one", deep=deep), instance.row("two"))
    instance.up()
    assert not asked.exists()
    assert instance.call(lambda client: client.deep()) == {"one": "/bin/sh exited with status 1"}
    (instance.root / "works").touch()
    assert instance.call(lambda client: client.deep(["one", "two"])) == {"one": ""}
    assert asked.read_text() == "once\nonce\n"
    assert instance.of("one").state is S.READY, "they decide nothing"
    with pytest.raises(NotFound):
        instance.call(lambda client: client.deep(["none"]))


def test_a_group_that_is_not_there_names_those_that_are(instance: Instance) -> None:
    instance.write(instance.row("one", group="back"))
    instance.up()
    questions = (SupervisorClient.stop, SupervisorClient.start, SupervisorClient.restart_group)
    for question in questions:
        with pytest.raises(NotFound, match="there are: back"):
            instance.call(partial(_asking, question))


async def _asking(question: Callable[[SupervisorClient, str], Awaitable[None]], client: SupervisorClient) -> None:
    await question(client, "bakc")
