"""Memory: what fits runs, what does not gives way to something smaller or is refused with the numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.supervisor.conftest import Instance

from ripple.model.component import Component
from ripple.model.errors import Invalid, Refused
from ripple.stack.components import Profile, Stack
from ripple.supervisor import start
from ripple.supervisor.budget import Room, admitted, fitting, free_mib

MEMINFO = "MemTotal:       8000000 kB\nMemAvailable:   1024000 kB\n"
EVERYTHING = 1 << 30


def row(name: str, memory_mib: int) -> Component:
    return Component(id=name, name=name, command=("true",), memory_mib=memory_mib)


def profiles(*given: tuple[str, int, int, str]) -> Callable[[str], Stack]:
    """Each is a name, what it needs, its budget and its smaller one."""
    known = {
        name: Stack(
            Profile(name=name, components=(name,), budget_mib=budget, smaller=smaller),
            (row(name, need // 2), row(f"{name}-2", need - need // 2)),
        )
        for name, need, budget, smaller in given
    }
    return known.__getitem__


LOAD = profiles(("large", 900, 1000, "middle"), ("middle", 400, 0, "small"), ("small", 90, 100, ""))


@pytest.mark.parametrize(
    ("room", "name"),
    [
        (Room(900), "large"),
        (Room(500, 400), "large"),
        (Room(899), "middle"),
        (Room(300, 100), "middle"),
        (Room(399), "small"),
    ],
)
def test_the_largest_profile_that_fits_runs(room: Room, name: str) -> None:
    found = fitting("large", LOAD, room)
    assert found.stack.profile.name == name
    assert (found.notice == "") == (name == "large")
    if found.notice:
        assert "large needs 900 MiB" in found.notice
        assert f"{room.free_mib} MiB free" in found.notice
        assert f"{name} runs instead" in found.notice


def test_what_does_not_fit_is_refused_with_all_numbers() -> None:
    with pytest.raises(Refused, match=r"large needs 900 MiB.*80 MiB free and holds 9 MiB.*small needs 90 MiB"):
        fitting("large", LOAD, Room(80, 9))
    with pytest.raises(Refused, match=r"needs 300 MiB, its budget is 200 MiB"):
        fitting("greedy", profiles(("greedy", 300, 200, "")), Room(10_000))


def test_a_profile_over_its_budget_gives_way_however_much_is_free() -> None:
    load = profiles(("greedy", 300, 200, "small"), ("small", 90, 0, ""))
    assert fitting("greedy", load, Room(10_000)).stack.profile.name == "small"


def test_profiles_that_are_each_smaller_than_the_other_are_refused() -> None:
    with pytest.raises(Invalid, match="a → b → a"):
        fitting("a", profiles(("a", 9, 0, "b"), ("b", 9, 0, "a")), Room(1))


def test_rows_that_nobody_measured_need_nothing() -> None:
    assert fitting("a", profiles(("a", 0, 0, "")), Room(0)).notice == ""


def test_what_is_added_has_to_fit_beside_what_runs() -> None:
    running = [row("a", 300), row("b", 0)]
    assert admitted(row("c", 200), running, 500, 200) == ""
    assert "beside the 300 MiB that run, the budget is 499 MiB" in admitted(row("c", 200), running, 499, 1000)
    assert "has 199 MiB free" in admitted(row("c", 200), running, 0, 199)
    assert admitted(row("c", 0), running, 100, 0) == "", "nobody measured it"


def machine(folder: Path, groups: str, files: dict[str, str]) -> tuple[Path, Path]:
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "meminfo").write_text(MEMINFO)
    (folder / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in files.items():
        path = folder / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "proc", folder / "groups"


def test_without_control_groups_the_machine_counts(tmp_path: Path) -> None:
    assert free_mib(*machine(tmp_path, "0::/\n", {})) == 1000


def test_the_tightest_control_group_above_counts_and_caches_are_free(tmp_path: Path) -> None:
    mib = 1 << 20
    files = {
        "a/memory.max": f"{600 * mib}\n",
        "a/memory.current": f"{500 * mib}\n",
        "a/memory.stat": f"anon 1\ninactive_file {50 * mib}\n",
        "a/b/memory.max": "max\n",
        "a/b/memory.current": f"{1 * mib}\n",
    }
    assert free_mib(*machine(tmp_path, "0::/a/b\n", files)) == 150


def test_control_groups_of_the_first_version_count_too(tmp_path: Path) -> None:
    mib = 1 << 20
    files = {
        "memory/c/memory.limit_in_bytes": f"{300 * mib}",
        "memory/c/memory.usage_in_bytes": f"{290 * mib}",
        "memory/c/memory.stat": f"total_inactive_file {30 * mib}\n",
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "memory/memory.usage_in_bytes": "1",
    }
    assert free_mib(*machine(tmp_path, "4:memory:/c\n0::/\n", files)) == 40


def test_a_full_group_leaves_nothing_and_never_less(tmp_path: Path) -> None:
    files = {"memory.max": "1000", "memory.current": "9999999", "memory.stat": ""}
    assert free_mib(*machine(tmp_path, "0::/\n", files)) == 0


def test_this_machine_has_some_memory_free() -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    assert 0 < free_mib() <= total


def test_an_instance_too_large_for_the_machine_is_refused_before_anything_starts(instance: Instance) -> None:
    instance.write(instance.row("one", memory_mib=EVERYTHING))
    with pytest.raises(Refused, match=r"small needs 1073741824 MiB, the machine has \d+ MiB free"):
        instance.up()
    assert instance.processes() == []
    assert not (instance.home.run / "supervisor.lock").exists()


def test_the_smaller_profile_runs_instead_and_asking_again_changes_nothing(instance: Instance) -> None:
    instance.write(instance.row("one"), instance.row("two", memory_mib=EVERYTHING), smaller="tiny")
    instance.profile("tiny", "one")
    assert instance.up().profile == "tiny"
    daemon = instance.daemon
    status = instance.up()
    assert (status.profile, [one.id for one in status.components], instance.daemon) == ("tiny", ["one"], daemon)
    assert "tiny runs instead" in start.fitting(instance.home, "small", instance.manifests).notice


def test_a_component_that_does_not_fit_beside_the_others_is_not_added(instance: Instance) -> None:
    instance.write(instance.row("one", memory_mib=30), budget_mib=50)
    instance.up()
    added = Component(id="x", name="x", command=("sleep", "100"), memory_mib=21)
    with pytest.raises(Refused, match=r"x needs 21 MiB beside the 30 MiB that run, the budget is 50 MiB.*small"):
        instance.call(lambda client: client.apply(added))
    assert [one.id for one in instance.status().components] == ["one"]
    instance.call(lambda client: client.apply(added.model_copy(update={"memory_mib": 20})))
    assert [one.id for one in instance.status().components] == ["one", "x"]
