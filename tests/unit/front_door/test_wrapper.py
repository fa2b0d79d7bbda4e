"""What the wrapper decides: whether there is something to set up, with which settings, and what it says."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
Finish = Callable[[], None]


def test_it_is_written_so_that_python_3_7_can_still_read_what_is_wrong() -> None:
    ast.parse((ROOT / "ripple").read_text(), feature_version=(3, 7))
    assert os.access(ROOT / "ripple", os.X_OK)


def test_a_finished_checkout_needs_nothing(wrapper: ModuleType, finished: Finish) -> None:
    assert not wrapper.environment_is_whole()
    assert not wrapper.console_is_built()
    finished()
    assert wrapper.environment_is_whole()
    assert wrapper.console_is_built()


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "requirements.lock").write_text("uv==2.0\n"),
        lambda root: (root / ".venv" / "ripple.json").write_text("{torn"),
        lambda root: (root / ".venv" / "bin" / "python").unlink(),
        lambda root: (
            (root / ".venv/bin/python").unlink(),
            (root / ".venv/bin/python").symlink_to(sys.executable),
        ),
    ],
    ids=["another lock", "a torn stamp", "no interpreter", "another interpreter"],
)
def test_an_environment_that_is_not_that_of_the_lock_is_not_whole(
    change: Callable[[Path], object], checkout: Path, wrapper: ModuleType, finished: Finish
) -> None:
    finished()
    change(checkout)
    assert not wrapper.environment_is_whole()


def test_a_checkout_that_was_moved_is_set_up_anew(checkout: Path, finished: Finish) -> None:
    finished()
    moved = checkout.rename(checkout.with_name("moved"))
    from_there = subprocess.run(
        [sys.executable, "-c", _ASK, str(moved / "ripple")], capture_output=True, text=True, check=True
    )
    assert from_there.stdout.strip() == "False"


def test_what_runs_already_can_be_asked_and_stopped_with_the_environment_of_an_older_lock(
    checkout: Path, wrapper: ModuleType, finished: Finish
) -> None:
    finished()
    (checkout / "requirements.lock").write_text("uv==2.0\n")
    assert wrapper.environment_is_whole(strict=False)
    assert {"down", "status", "logs"} == wrapper.CALM_VERBS
    assert not wrapper.CALM_VERBS & wrapper.CONSOLE_VERBS
    (checkout / ".venv" / "ripple.json").unlink()
    assert not wrapper.environment_is_whole(strict=False)


@pytest.mark.parametrize(
    "name", ["src/main.tsx", "src/new.ts", "static/index.html", "build.mjs", "package-lock.json"]
)
def test_the_console_is_built_again_when_one_of_its_files_differs(
    name: str, checkout: Path, wrapper: ModuleType, finished: Finish
) -> None:
    finished()
    (checkout / "console" / name).write_text("changed\n")
    assert not wrapper.console_is_built()


def test_a_file_that_moves_its_bytes_to_its_neighbour_is_seen(checkout: Path, wrapper: ModuleType) -> None:
    one, two = checkout / "console/src/one.ts", checkout / "console/src/two.ts"
    one.write_text("ab")
    two.write_text("c")
    before = wrapper.console_stamp()
    one.write_text("a")
    two.write_text("bc")
    assert wrapper.console_stamp() != before


def test_the_lines_of_one_package_are_taken_from_the_lock_and_no_others(wrapper: ModuleType) -> None:
    text = wrapper.LOCK.read_text()
    assert wrapper.locked("uv", text) == "uv==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    assert wrapper.locked("uvicorn", text).startswith("uvicorn==2.0")
    with pytest.raises(wrapper.Problem, match="does not lock pip"):
        wrapper.locked("pip", text)


def test_indexes_and_certificates_named_for_pip_count_for_uv_unless_uv_has_its_own(wrapper: ModuleType) -> None:
    given = {
        "PIP_INDEX_URL": "https://one.invalid/simple",
        "PIP_CERT": "/ca.pem",
        "HOME": "/nonexistent",
        "PATH": "/bin",
    }
    found = wrapper.tool_environment(given, Path("/tools"))
    assert found["UV_DEFAULT_INDEX"] == given["PIP_INDEX_URL"]
    assert found["SSL_CERT_FILE"] == "/ca.pem"
    assert found["PATH"] == f"/tools{os.pathsep}/bin"
    own = wrapper.tool_environment({**given, "UV_DEFAULT_INDEX": "https://two.invalid"}, Path("/tools"))
    assert own["UV_DEFAULT_INDEX"] == "https://two.invalid"


@pytest.mark.parametrize("home", ["", "/nonexistent", "{file}"])
def test_caches_stay_in_the_checkout_where_home_cannot_hold_them(
    home: str, wrapper: ModuleType, checkout: Path
) -> None:
    home = home.format(file=checkout / "ripple")
    found = wrapper.tool_environment({"HOME": home, "UV_CACHE_DIR": "/chosen"}, Path("/tools"))
    assert found["npm_config_cache"].startswith(str(checkout / ".venv"))
    assert found["PIP_CACHE_DIR"].startswith(str(checkout / ".venv"))
    assert found["UV_CACHE_DIR"] == "/chosen"


def test_a_home_that_can_be_written_keeps_its_caches(wrapper: ModuleType, tmp_path: Path) -> None:
    found = wrapper.tool_environment({"HOME": str(tmp_path)}, Path("/tools"))
    assert not {"PIP_CACHE_DIR", "UV_CACHE_DIR", "npm_config_cache"} & set(found)


def test_another_pythons_settings_do_not_reach_the_verb(wrapper: ModuleType, checkout: Path) -> None:
    found = wrapper.verb_environment({"PYTHONPATH": "/evil", "PYTHONHOME": "/evil", "RIPPLE_HOME": "/mine"})
    assert found == {"PYTHONPATH": str(checkout / "src"), "RIPPLE_HOME": "/mine"}


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("error: Failed to fetch: `https://x/simple/uv/`", "index that your environment names"),
        ("npm error code EAI_AGAIN", "index that your environment names"),
        ("No space left on device (os error 28)", "free some disk space"),
        ("Hash mismatch for `uv==1.0`", "do not install it"),
        ("npm error code EINTEGRITY", "do not install it"),
        ("segmentation fault", "delete .venv"),
    ],
)
def test_a_stage_that_fails_says_what_to_do_and_what_it_wrote_last(
    said: str, advice: str, wrapper: ModuleType
) -> None:
    text = wrapper.explain("installing", 2, f"{'noise' + chr(10)}" * 100 + said)
    assert text.startswith("installing failed with exit status 2")
    assert advice in text
    assert said in text
    assert text.count("noise") < 30


def test_a_stage_really_runs_and_its_failure_is_a_problem(wrapper: ModuleType, checkout: Path) -> None:
    lock = os.open(checkout, os.O_RDONLY)
    wrapper.stage("writing", ["/bin/sh", "-c", "pwd > seen"], lock)
    assert (checkout / "seen").read_text().strip() == str(checkout)
    with pytest.raises(wrapper.Problem, match=r"status 3(.|\n)*no space left"):
        wrapper.stage("failing", ["/bin/sh", "-c", "echo no space left; exit 3"], lock)
    os.close(lock)


def test_a_stage_past_its_deadline_is_killed_with_all_it_started(
    wrapper: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = checkout / "child"
    lock = os.open(checkout, os.O_RDONLY)
    for seconds in (0.2, 2, 10):  # until there was time to start the child
        monkeypatch.setattr(wrapper, "STAGE_SECONDS", seconds)
        with pytest.raises(wrapper.Problem, match="did not end"):
            wrapper.stage("hanging", ["/bin/sh", "-c", "sleep 120 & echo $! > child; wait"], lock)
        if said.exists() and said.read_text().endswith("\n"):
            break
    os.close(lock)
    child = int(said.read_text())
    deadline = time.monotonic() + 30
    while _is_alive(child):
        assert time.monotonic() < deadline, "the grandchild outlived its stage"
        time.sleep(0.02)


def test_the_second_of_two_waits_and_finds_the_work_done(wrapper: ModuleType, checkout: Path) -> None:
    script = _TOGETHER.format(conftest=str(Path(__file__).with_name("conftest.py")))
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(checkout)], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert (checkout / "work").read_text() == "done\n"
    assert sum("waiting for another ./ripple" in text for text in said) == 1


def test_windows_is_told_about_wsl2(wrapper: ModuleType) -> None:
    with pytest.raises(wrapper.Problem, match="WSL2"):
        wrapper.check_platform("nt")
    wrapper.check_platform("posix")


def test_an_old_python_says_which_one_is_needed_when_no_newer_one_is_there(
    wrapper: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrapper.sys, "version_info", (3, 9, 2))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(wrapper.Problem, match=r"is Python 3\.9\.2, Ripple needs 3\.11"):
        wrapper.check_python(["up"])


def test_a_python_without_pip_and_ensurepip_says_what_to_install(
    wrapper: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrapper, "has_module", lambda name: False)
    (checkout / ".venv").mkdir()
    with pytest.raises(wrapper.Problem, match=r"apt install python3\.\d+-venv"):
        wrapper.make_venv(-1)


def test_an_environment_is_made_anew_by_its_own_interpreter_as_after_activating_it(
    checkout: Path, wrapper: ModuleType
) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(wrapper.VENV)], check=True, timeout=60)
    (wrapper.VENV / "left over").touch()
    done = subprocess.run(
        [str(wrapper.PYTHON), "-c", _ANEW, str(checkout / "ripple")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert wrapper.runs(str(wrapper.PYTHON), "-m", "pip", "--version")
    assert [path.name for path in wrapper.VENV.iterdir() if path.name in ("left over", "unfinished")] == [
        "unfinished"
    ]


def test_a_failed_set_up_is_one_line_and_a_failing_exit_status(checkout: Path) -> None:
    (checkout / "requirements.lock").unlink()
    done = subprocess.run(
        [sys.executable, str(checkout / "ripple"), "up"], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "requirements.lock" in done.stderr
    assert done.stdout == ""


def test_a_warm_start_costs_less_than_a_tenth_of_a_second(
    checkout: Path, wrapper: ModuleType, finished: Finish
) -> None:
    finished()
    taken = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", _WARM, str(checkout / "ripple")], capture_output=True, text=True, check=True
        )
        taken.append(float(done.stdout))
    assert min(taken) < 0.1, taken


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


_ANEW = """
import os, runpy, sys
wrapper = runpy.run_path(sys.argv[1])
wrapper["UNFINISHED"].touch()
wrapper["make_venv"](os.open(wrapper["ROOT"], os.O_RDONLY))
"""
_ASK = """
import runpy, sys
print(runpy.run_path(sys.argv[1])["environment_is_whole"]())
"""
_WARM = """
import sys, time, os
began = time.process_time()
os.execve = lambda *_: (print(time.process_time() - began), sys.exit(0))
import runpy
path = sys.argv[1]
sys.argv = [path, "up"]
runpy.run_path(path, run_name="__main__")
"""
_TOGETHER = """
import runpy, sys, time
from pathlib import Path
root = Path(sys.argv[1])
wrapper = runpy.run_path(str(root / "ripple"))
work, started, waiting = root / "work", root / "started", root / "waiting"
inside = wrapper["set_up"].__globals__
told = inside["say"]
def say(text):
    told(text)
    waiting.touch()
inside["say"] = say
started.open("a").write("x")
while len(started.read_text()) < 2:
    time.sleep(0.01)
def prepare(lock):
    give_up = time.monotonic() + 30
    while not waiting.exists() and time.monotonic() < give_up:
        time.sleep(0.01)
    work.open("a").write("done\\n")
wrapper["set_up"](prepare, work.exists)
"""
