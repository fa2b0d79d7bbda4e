"""The console's build says which tool did what, and ships only what a page uses."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ripple.surfaces.cli.checks import NODE

CONSOLE = Path(__file__).parents[3] / "console"
MARKS = """
interface Said { text: string }
export const alive = (said: Said): string => `${said.text}: a page uses this`;
export const dead = (said: Said): string => `${said.text}: no page uses this`;
"""


@pytest.mark.live
def test_swc_compiles_esbuild_bundles_and_a_dead_export_is_left_out(tmp_path: Path) -> None:
    if not (CONSOLE / "node_modules").is_dir():
        pytest.skip("not run: the console's packages are not installed; ./ripple up installs them")
    console = copied(tmp_path / "console")
    (console / "src" / "marks.ts").write_text(MARKS)
    main = console / "src" / "main.tsx"
    main.write_text(
        f'import {{ alive }} from "./marks.ts";\n{main.read_text()}\nalert(alive({{ text: "so" }}));\n'
    )
    done = subprocess.run((NODE, "build.mjs"), cwd=console, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    compiled = re.search(r"^swc compiled (\d+) files$", done.stdout, re.MULTILINE)
    assert compiled
    assert int(compiled[1]) > 40
    assert re.search(r"^esbuild \d+\.\d+\.\d+ bundled app\.js, \d+ bytes$", done.stdout, re.MULTILINE)
    bundle = (console / "dist" / "app.js").read_text()
    assert "a page uses this" in bundle
    assert "no page uses this" not in bundle
    assert bundle.count("\n") < 200, "minified"


def copied(folder: Path) -> Path:
    """The console's sources, with links to its packages."""
    shutil.copytree(CONSOLE, folder, ignore=shutil.ignore_patterns("node_modules", "dist", "tests"))
    (folder / "node_modules").mkdir()
    for package in (CONSOLE / "node_modules").iterdir():
        if not package.name.startswith("."):
            (folder / "node_modules" / package.name).symlink_to(package)
    return folder
