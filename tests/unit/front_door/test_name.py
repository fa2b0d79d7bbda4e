"""The product is called Ripple; the other names it was given stand in identifiers of tools and policies only."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SEARCHED = (
    "src",
    "console/src",
    "console/static",
    "docs",
    "manifests",
    "policies",
    "examples",
    "tests/requirements",
)
TEXT = {".py", ".ts", ".tsx", ".css", ".html", ".md", ".yaml", ".json", ".rego", ".toml"}
OTHER = re.compile(r"flex[- ]?stack|flex[- ]?net ?os|build[- ]?kit", re.IGNORECASE)
IDENTIFIER = re.compile(r"\b(buildkit\.[a-z_]+|flexstack-[a-z-]+|FlexNetOS/[a-z-]+|DOCKER_BUILDKIT)")


def other_names(text: str) -> list[str]:
    """Where a text calls the product something else, identifiers aside."""
    return OTHER.findall(IDENTIFIER.sub("", text))


def test_nothing_calls_the_product_anything_else() -> None:
    paths = [
        path
        for room in (*SEARCHED, "tests/requirements")
        for path in (ROOT / room).rglob("*")
        if path.suffix in TEXT
    ]
    paths += [ROOT / "README.md", ROOT / "pyproject.toml", ROOT / "ripple"]
    assert len(paths) > 200
    found = {str(path): names for path in paths if (names := other_names(path.read_text(encoding="utf-8")))}
    assert found == {}


def test_wherever_it_says_its_name_it_is_ripple() -> None:
    assert (ROOT / "README.md").read_text().startswith("# Ripple\n")
    assert "<title>Ripple</title>" in (ROOT / "console" / "static" / "index.html").read_text()
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"] == "ripple"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("buildkit.cloud_build has four inputs; the policy flexstack-moe has none", []),
        ("FlexStack runs BuildKit", ["FlexStack", "BuildKit"]),
        ("FlexNetOS, a buildkit", ["FlexNetOS", "buildkit"]),
        ("FLEXSTACK-MOE is no identifier", ["FLEXSTACK"]),
    ],
)
def test_another_name_is_told_from_an_identifier(text: str, found: list[str]) -> None:
    assert other_names(text) == found
