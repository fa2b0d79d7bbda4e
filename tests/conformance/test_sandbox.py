"""The sandbox plane for real: what a hostile command cannot see, reach, write, use up or leave behind."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.sandboxes import SANDBOX, SLEEPER, alive, marker, python, ran, run, said, spec

from ripple.planes.sandbox import Outcome
from ripple.planes.sandbox.execution import execute

pytestmark = pytest.mark.skipif(
    run(SANDBOX.rungs()) == (), reason="not run: no isolation on this machine; allow unprivileged user namespaces"
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_a_run_gives_status_output_input_and_its_files(work: Path) -> None:
    result = ran(
        spec(work, "sh", "-c", "cat; echo bad >&2; pwd; echo made > made; exit 3", stdin=b"in" * 100_000, env={})
    )
    assert (result.outcome, result.exit_code, result.stderr) == (Outcome.EXITED, 3, b"bad\n")
    assert result.stdout == b"in" * 100_000 + b"/work\n"
    assert (work / "made").read_text() == "made\n"
    assert "3" in result.reason


def test_a_command_killed_by_a_signal_exits_with_its_number(work: Path) -> None:
    result = ran(spec(work, "sh", "-c", "kill -SEGV $$"))
    assert (result.outcome, result.exit_code) == (Outcome.EXITED, 128 + 11)


def test_a_command_that_does_not_exist_is_no_success(work: Path) -> None:
    assert not ran(spec(work, "no-such-command")).ok


def test_many_runs_at_once_do_not_disturb_each_other(work: Path) -> None:
    async def main() -> list[bytes]:
        runs = (SANDBOX.run(spec(work, "sh", "-c", f"echo {number}")) for number in range(12))
        return [result.stdout for result in await asyncio.gather(*runs)]

    assert run(main()) == [f"{number}\n".encode() for number in range(12)]


REACH = """
import socket, sys
for family, address in ((socket.AF_INET, (sys.argv[1], int(sys.argv[2]))), (socket.AF_UNIX, "\\0" + sys.argv[3])):
    try:
        connected = socket.socket(family)
        connected.settimeout(2)
        connected.connect(address)
        print("reached")
    except OSError as error:
        print("not reached")
"""


@pytest.fixture
def listeners() -> Any:
    """A TCP port and an abstract unix socket of the host that would accept."""
    name = marker()
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        unix.bind(f"\0{name}")
        tcp.listen()
        unix.listen()
        yield str(tcp.getsockname()[1]), name


def test_neither_the_hosts_loopback_nor_its_abstract_sockets_answer(
    work: Path, listeners: tuple[str, str]
) -> None:
    assert said(python(work, REACH, "127.0.0.1", *listeners)).split("\n") == ["not reached"] * 2


def test_a_network_that_is_granted_is_there(work: Path, listeners: tuple[str, str]) -> None:
    assert said(python(work, REACH, "127.0.0.1", *listeners, network=True)).startswith("reached")


def test_there_is_no_interface_but_its_own_loopback_no_route_and_no_names(work: Path) -> None:
    code = """
        import json, socket
        def tried(act):
            try:
                act()
                return "worked"
            except OSError as error:
                return type(error).__name__
        out = lambda: socket.create_connection(("192.0.2.1", 53), 2)
        raw = lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        names = lambda: socket.getaddrinfo("localhost.example.com", 80)
        own = lambda: socket.create_server(("127.0.0.1", 0)).close()
        print(json.dumps([[name for _, name in socket.if_nameindex()], *map(tried, (out, raw, names, own))]))
    """
    interfaces, out, raw, names, own = json.loads(said(python(work, code)))
    assert interfaces == ["lo"]
    assert (out, raw, names, own) == ("OSError", "PermissionError", "gaierror", "worked")


READ = """
import sys
import threading
for name in sys.argv[1:]:
    try:
        print(open(name).read()[:50])
    except OSError as error:
        print(type(error).__name__)
"""


def test_neither_the_hosts_secrets_nor_its_folders_can_be_read(work: Path) -> None:
    secret = work.parent / "secret"
    secret.write_text("host secret")
    home = Path.home() / ".profile"
    names = ["/etc/shadow", str(secret), str(home), f"/proc/{os.getpid()}/environ", "/proc/1/root/etc/shadow"]
    names += ["/work/../secret", "/var/log/dpkg.log", "/sys/kernel/uevent_helper", str(Path(__file__).resolve())]
    seen = said(python(work, READ, *names)).split("\n")
    assert set(seen) <= {"FileNotFoundError", "PermissionError", "NotADirectoryError"}
    assert len(seen) == len(names)


def test_its_root_holds_the_system_and_nothing_of_the_host_beside_it(work: Path) -> None:
    seen = set(json.loads(said(python(work, "import json, os; print(json.dumps(os.listdir('/')))"))))
    interpreter = {Path(sys.base_prefix).parts[1], Path(sys._base_executable).resolve().parts[1]}  # type: ignore[attr-defined]
    system = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc"}
    assert seen <= {*system, *interpreter, "work", "tmp", "proc", "dev", "opt"}


def test_users_are_the_sandboxes_own(work: Path) -> None:
    seen = said(spec(work, "sh", "-c", "id -u; cat /etc/passwd; hostname || cat /proc/sys/kernel/hostname"))
    assert seen.startswith("1000\n")
    assert seen.endswith("app")
    assert len(seen.splitlines()) < 8


def test_links_out_of_the_worktree_lead_nowhere(work: Path) -> None:
    secret = work.parent / "secret"
    secret.write_text("host secret")
    for name, target in {"up": "../secret", "absolute": str(secret), "etc": "/etc/shadow", "self": "self"}.items():
        (work / name).symlink_to(target)
    (work / "folder").symlink_to(secret.parent)
    names = [
        "up",
        "absolute",
        "etc",
        "self",
        "folder/secret",
        "/proc/self/cwd/../secret",
        "/proc/self/root/secret",
    ]
    seen = set(said(python(work, READ, *names)).split("\n"))
    assert seen <= {"FileNotFoundError", "OSError", "PermissionError"}


def test_a_worktree_that_is_a_link_is_what_it_leads_to(work: Path) -> None:
    link = work.parent / "link"
    link.symlink_to(work)
    assert ran(spec(link, "touch", "made")).ok
    assert (work / "made").exists()


def test_the_hosts_processes_are_invisible_and_out_of_reach(work: Path) -> None:
    code = """
        import os, sys
        try:
            os.kill(int(sys.argv[1]), 0)
            print("reached")
        except ProcessLookupError:
            print("no such process")
        print(max(int(name) for name in os.listdir("/proc") if name.isdigit()) < 20)
    """
    assert said(python(work, code, str(os.getpid()))) == "no such process\nTrue"


def test_the_environment_is_what_was_given_and_five_defaults(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIPPLE_TEST_SECRET", "hunter2")
    code = "import json, os; print(json.dumps([dict(os.environ), open('/proc/1/environ').read()]))"
    environment, first = json.loads(said(python(work, code, env={"GIVEN": "a=b c\n'\""})))
    assert environment.pop("GIVEN") == "a=b c\n'\""
    assert set(environment) <= {"PATH", "HOME", "TMPDIR", "LANG", "LC_CTYPE", "PWD", "SHLVL", "_"}
    assert "hunter2" not in first
    assert environment["HOME"] == "/tmp"


def test_what_the_environment_holds_is_in_nobodys_arguments(work: Path) -> None:
    mark, secret = marker(), marker()

    async def main() -> list[int]:
        task = asyncio.create_task(SANDBOX.run(python(work, SLEEPER, mark, env={"KEY": secret})))
        while not alive(mark):
            await asyncio.sleep(0.01)
        seen = alive(secret)
        task.cancel()
        await asyncio.wait([task])
        return seen

    assert run(main()) == []


WRITE = """
import os, sys
for folder in sys.argv[1:]:
    try:
        with open(os.path.join(folder, "ripple-was-here"), "w") as file:
            file.write("x")
        print("wrote")
    except OSError as error:
        print(type(error).__name__)
"""


def test_only_the_worktree_and_scratch_can_be_written(work: Path) -> None:
    kept = ["/work", "/tmp", "/dev/shm"]
    closed = ["/", "/etc", "/usr", "/usr/bin", "/usr/lib", "/opt", "/opt/ripple/bin", "/dev", "/dev/pts", "/proc"]
    closed += ["/proc/sys/kernel", "/proc/1", sys.base_prefix]
    seen = said(python(work, WRITE, *kept, *closed)).split("\n")
    assert seen[:3] == ["wrote"] * 3
    assert "wrote" not in seen[3:]
    assert [path.name for path in work.iterdir()] == ["ripple-was-here"]
    assert not Path("/tmp/ripple-was-here").exists()


def test_system_files_and_kernel_settings_stay_as_they_are(work: Path) -> None:
    code = """
        import os, socket
        def tried(act):
            try:
                act()
                return True
            except OSError:
                return False
        acts = [lambda: os.chmod("/usr/bin/env", 0o777), lambda: os.unlink("/usr/bin/env"),
                lambda: os.rename("/etc/passwd", "/etc/x"), lambda: os.utime("/usr/bin/env"),
                lambda: open("/proc/sys/kernel/core_pattern", "w").write("|/work/evil"),
                lambda: open("/proc/sysrq-trigger", "w").write("x"), lambda: os.link("/etc/passwd", "/work/x"),
                lambda: os.mknod("/work/disk", 0o60666, os.makedev(254, 0)), lambda: os.chroot("/work"),
                lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: socket.sethostname("evil")]
        print([number for number, act in enumerate(acts) if tried(act)])
    """
    assert said(python(work, code)) == "[]"


def test_it_has_no_capability_no_way_to_gain_one_and_a_filter(work: Path) -> None:
    status = said(spec(work, "cat", "/proc/self/status"))
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    for words in (("unshare", "-U", "true"), ("unshare", "-m", "true"), ("mount", "-t", "tmpfs", "x", "/work")):
        assert not ran(spec(work, *words)).ok


def test_a_set_user_id_file_left_in_the_worktree_raises_nobody(work: Path) -> None:
    assert ran(spec(work, "sh", "-c", "cp /bin/sleep s && chmod 6755 s && ./s 0")).ok
    owner = (work / "s").stat()
    # It belongs to whoever ran the sandbox, so it can raise others only to that user: never above.
    assert owner.st_uid == os.getuid()


def test_a_read_only_worktree_and_read_only_binds_stay_read_only(work: Path) -> None:
    extra = work.parent / "extra"
    extra.mkdir()
    (extra / "tool").write_text("tool")
    binds = ((extra, "/opt/extra"),)
    given = python(work, WRITE, "/work", "/opt/extra", "/tmp", writable=False, read_only=binds)
    assert said(given).split("\n") == ["OSError", "OSError", "wrote"]
    assert said(spec(work, "cat", "/opt/extra/tool", read_only=binds)) == "tool"
    assert [*work.iterdir(), *(path.name for path in extra.iterdir())] == ["tool"]


def test_a_bind_that_a_link_in_the_worktree_would_bend_reaches_no_host_folder(work: Path) -> None:
    outside = work.parent / "outside"
    outside.mkdir()
    for name, target in {"up": "../../outside", "absolute": str(outside)}.items():
        (work / name).symlink_to(target)
        ran(spec(work, "true", read_only=((work.parent, f"/work/{name}/bound"),)))
    assert list(outside.iterdir()) == []


ENDS = """#!{python}
import os, subprocess, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
os.close(int(given["--block-fd"]))
first = subprocess.Popen(["sleep", "9"], env={{"PATH": "/usr/bin:/bin"}})
os.write(int(given["--json-status-fd"]), b'{{"child-pid": %d}}\\n' % first.pid)
sys.exit("bwrap: it ended before it was let go")
"""


def test_a_sandbox_that_ends_before_it_is_let_go_says_why(work: Path, tmp_path: Path) -> None:
    ending = tmp_path / "ending"
    ending.write_text(ENDS.format(python=sys.executable))
    ending.chmod(0o755)
    result = execute(str(ending), (), spec(work, "true"), b"", threading.Event())
    assert result.outcome is Outcome.FAILED
    assert "it ended before it was let go" in result.reason
