"""Trials in the real sandbox: what passes, what fails, and what only pretends to pass."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.examples.answers import apply, known

from ripple.changes.trial import UNUSABLE, Trial, run_integration, run_trial, run_written_test
from ripple.delivery.application import load_application
from ripple.delivery.toolchain import Toolchain, toolchain_of
from ripple.model.application import ApplicationManifest
from ripple.model.errors import Unavailable
from ripple.planes.sandbox import Sandbox
from ripple.planes.sandbox.bubblewrap import BubblewrapSandbox

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "checkout"
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")
SHOP = {
    "shop.py": "def price(n):\n    return 2 * n\n",
    "tests/test_shop.py": "from shop import price\n\n\ndef test_a_price():\n    assert price(2) == 4\n",
}


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    found = Sandbox(BubblewrapSandbox())
    if not asyncio.run(found.rungs()):
        pytest.skip("not run: no sandbox works here; run ./ripple doctor")
    return Sandbox(BubblewrapSandbox())


@pytest.fixture(scope="module")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Toolchain:
    folder = tmp_path_factory.mktemp("toolchains")
    try:
        return asyncio.run(toolchain_of(folder, EXAMPLE, load_application(EXAMPLE)))
    except Unavailable as error:
        pytest.skip(f"not run: no package index answers here ({error})")


def shop(folder: Path, **files: str) -> Path:
    for name, text in {**SHOP, **{name.replace("__", "/"): text for name, text in files.items()}}.items():
        path = folder / (name if "." in name else f"{name}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def manifest(build: list[str] | None = None, **test: Any) -> ApplicationManifest:
    unit = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    return ApplicationManifest.model_validate(
        {
            "name": "shop",
            "build": build and {"command": build},
            "test": {"unit": unit, "timeout_seconds": 20, **test},
            "run": {"command": ["true"], "ready": {"http": "/"}},
        }
    )


def fingerprint(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(str(p).encode() + p.read_bytes() for p in files)).hexdigest()


def trial_of(
    sandbox: Sandbox, toolchain: Toolchain, tree: Path, base: Path, settings: ApplicationManifest
) -> Trial:
    before, beside = fingerprint(tree), sorted(tree.parent.iterdir())
    trial = asyncio.run(run_trial(sandbox, tree, base, settings, toolchain))
    assert fingerprint(tree) == before, "the tree itself is never written"
    assert sorted(tree.parent.iterdir()) == beside, "no copy is left"
    json.dumps(trial.as_rows())
    return trial


Try = Callable[..., Trial]


@pytest.fixture
def attempt(sandbox: Sandbox, toolchain: Toolchain, tmp_path: Path) -> Try:
    def run(settings: ApplicationManifest | None = None, **files: str) -> Trial:
        base, tree = shop(tmp_path / "base"), shop(tmp_path / "tree", **files)
        return trial_of(sandbox, toolchain, tree, base, settings or manifest())

    return run


def test_the_example_passes_and_a_wrong_answer_names_the_failing_tests(
    sandbox: Sandbox, toolchain: Toolchain, tmp_path: Path
) -> None:
    tree = Path(shutil.copytree(EXAMPLE, tmp_path / "checkout", ignore=IGNORED))
    settings = load_application(EXAMPLE)
    passed = trial_of(sandbox, toolchain, tree, EXAMPLE, settings)
    assert (passed.ok, passed.reasons, [one.name for one in passed.commands]) == (
        True,
        (),
        ["build", "unit tests"],
    )
    assert "23 passed" in passed.as_rows()[1]["output"]
    apply(known("free-shipping-wrong").answer, tree)
    failed = trial_of(sandbox, toolchain, tree, EXAMPLE, settings)
    assert not failed.ok
    assert "test_small_baskets_pay_the_flat_fee" in failed.reasons[0]
    assert failed.reasons[0].startswith("unit tests: ")


def test_integration_tests_run_the_service_and_none_declared_passes_without_a_command(
    sandbox: Sandbox, toolchain: Toolchain, tmp_path: Path
) -> None:
    tree = Path(shutil.copytree(EXAMPLE, tmp_path / "checkout", ignore=IGNORED))
    trial = asyncio.run(run_integration(sandbox, tree, EXAMPLE, load_application(EXAMPLE), toolchain))
    assert trial.ok, trial.reasons
    assert [one.name for one in trial.commands] == ["build", "integration tests"]
    assert asyncio.run(run_integration(sandbox, tree, EXAMPLE, manifest(), toolchain)) == Trial(True, (), ())


def test_a_tree_with_tests_of_its_own_must_pass_the_base_commits_too(attempt: Try) -> None:
    more = "\n\ndef test_more():\n    assert price(3) == 6\n"
    trial = attempt(tests__test_shop=SHOP["tests/test_shop.py"] + more)
    assert trial.ok, trial.reasons
    assert [one.name for one in trial.commands] == ["unit tests", "unit tests of the base commit"]


def test_tests_rewritten_to_always_pass_do_not_help(attempt: Try) -> None:
    trial = attempt(
        shop="def price(n):\n    return 3 * n\n", tests__test_shop="def test_a_price():\n    assert True\n"
    )
    assert not trial.ok
    assert trial.reasons == ("unit tests of the base commit: 1 of 1 tests failed: tests.test_shop::test_a_price",)


def test_tests_that_mend_the_folder_while_they_run_do_not_help(attempt: Try) -> None:
    mend = (
        "import pathlib\n\n\ndef test_a_price():\n"
        "    pathlib.Path('shop.py').write_text('def price(n):\\n    return 2 * n\\n')\n"
        "    pathlib.Path('conftest.py').write_text('collect_ignore_glob = [\"*\"]\\n')\n"
    )
    trial = attempt(shop="def price(n):\n    return 3 * n\n", tests__test_shop=mend)
    assert [one.ok for one in trial.commands] == [True, False]


def test_tests_taken_away_are_a_failure(attempt: Try) -> None:
    trial = attempt(tests__test_shop="# none\n")
    assert trial.reasons == ("unit tests: no tests were collected",)


@pytest.mark.parametrize("way", ["import os\nos._exit(0)\n", "import pytest\npytest.exit('done', returncode=0)\n"])
def test_ending_the_process_while_tests_are_collected_is_a_failure(attempt: Try, way: str) -> None:
    trial = attempt(shop=f"{way}\n\ndef price(n):\n    return 0\n")
    assert not trial.ok
    assert "left no report" in trial.reasons[0] or "tests failed" in trial.reasons[0]


def test_a_module_that_skips_its_own_tests_is_a_failure(attempt: Try) -> None:
    trial = attempt(shop="import pytest\npytest.skip('not today', allow_module_level=True)\n")
    assert not trial.ok


def test_unittest_without_a_test_is_a_failure(attempt: Try) -> None:
    settings = manifest(unit=["python", "-m", "unittest", "discover", "-s", "tests"])
    trial = attempt(settings)
    assert trial.reasons == ("unit tests: exited with status 0 but ran no tests",)


def test_a_broken_build_ends_the_trial_with_what_it_said(attempt: Try) -> None:
    trial = attempt(manifest(["python", "-m", "compileall", "-q", "."]), shop="def price(n:\n")
    assert [one.name for one in trial.commands] == ["build"]
    assert trial.reasons[0].startswith("build: exited with status 1")


def test_tests_that_never_end_are_stopped_and_say_so(attempt: Try) -> None:
    started = time.monotonic()
    trial = attempt(manifest(timeout_seconds=1.5), shop="while True:\n    pass\n")
    assert trial.commands[-1].outcome in ("timeout", "cpu")
    assert "1.5 s" in trial.reasons[0] or "3 s" in trial.reasons[0]
    assert time.monotonic() - started < 60


def test_a_command_that_is_not_there_fails_the_trial(attempt: Try) -> None:
    trial = attempt(manifest(unit=["no-such-runner"]))
    assert not trial.ok
    assert "no-such-runner" in trial.reasons[0]


def test_output_is_kept_short_and_without_control_characters(attempt: Try) -> None:
    loud = "def test_a_price():\n    print('\\x1b[31m' + 'x' * 100_000)\n    assert False\n"
    output = attempt(tests__test_shop=loud).commands[-1].output
    assert len(output) <= 2 * 4096 + 1
    assert "\x1b" not in output


def test_a_link_in_place_of_the_tests_is_replaced_not_followed(
    sandbox: Sandbox, toolchain: Toolchain, tmp_path: Path
) -> None:
    base, tree, outside = shop(tmp_path / "base"), shop(tmp_path / "tree"), shop(tmp_path / "outside")
    shutil.rmtree(tree / "tests")
    (tree / "tests").symlink_to(outside / "tests")
    trial = asyncio.run(run_trial(sandbox, tree, base, manifest(), toolchain))
    assert not trial.ok, "the link leads nowhere inside the sandbox"
    assert (outside / "tests" / "test_shop.py").exists()


def test_a_written_test_says_what_each_tree_does_and_always_the_same(
    sandbox: Sandbox, toolchain: Toolchain, tmp_path: Path
) -> None:
    right, wrong = shop(tmp_path / "right"), shop(tmp_path / "wrong", shop="def price(n):\n    return n\n")
    written = (
        "from shop import price\n\n\ndef test_one():\n    assert price(0) == 0\n"
        "\n\ndef test_two():\n    assert price(3) == 6\n"
    )

    async def both() -> list[str]:
        runs = (run_written_test(sandbox, tree, written, manifest(), toolchain) for tree in (right, right, wrong))
        return list(await asyncio.gather(*runs))

    first, again, other = asyncio.run(both())
    assert first == again
    assert list(json.loads(first).values()) == ["passed", "passed"]
    assert list(json.loads(other).values()) == ["passed", "failed"]
    assert not (right / "test_written_by_another.py").exists()


def test_a_written_test_that_tells_nothing_is_unusable(
    sandbox: Sandbox, toolchain: Toolchain, tmp_path: Path
) -> None:
    luck = "import os\n\n\ndef test_luck():\n    pass\n\n\nglobals()['test_' + os.urandom(4).hex()] = test_luck\n"
    contents = ("", "def test_nothing(:\n", "import os\nos._exit(0)\n", luck, "nothing = 1\n")
    tree = shop(tmp_path / "tree")

    async def all_of_them() -> list[str]:
        runs = (run_written_test(sandbox, tree, content, manifest(), toolchain) for content in contents)
        return list(await asyncio.gather(*runs))

    assert asyncio.run(all_of_them()) == [UNUSABLE] * len(contents)
