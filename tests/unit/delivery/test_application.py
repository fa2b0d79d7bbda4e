"""The application's manifest and overlays: strict about keys, strict about where they lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from ripple.delivery.application import SCHEMAS, load_application, load_overlay, schema_text
from ripple.model.application import Canary
from ripple.model.errors import Invalid, NotFound
from ripple.stack.root import project_root

MANIFEST = """
name: shop
test: {unit: ["python", "-m", "pytest"]}
run: {command: ["python", "-m", "shop"], ready: {http: /healthz}}
"""


def _application(root: Path, text: str = MANIFEST) -> Path:
    (root / "ripple.app.yaml").write_text(text)
    (root / "environments").mkdir()
    return root


def test_a_manifest_is_read_with_its_defaults(tmp_path: Path) -> None:
    manifest = load_application(_application(tmp_path))
    assert manifest.name == "shop"
    assert manifest.environments == "environments/"


def test_an_unknown_key_is_named_with_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"biuld.*build"):
        load_application(_application(tmp_path, MANIFEST + "biuld: {command: [make]}\n"))


def test_a_folder_without_a_manifest_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"ripple\.app\.yaml"):
        load_application(tmp_path)


def test_a_missing_overlay_means_a_canary_everywhere_but_in_dev(tmp_path: Path) -> None:
    manifest = load_application(_application(tmp_path))
    assert load_overlay(tmp_path, manifest, "dev").canary is None
    for environment in ("qa", "staging", "prod"):
        assert load_overlay(tmp_path, manifest, environment).canary == Canary()


def test_an_overlay_is_read_and_its_unknown_keys_refused(tmp_path: Path) -> None:
    manifest = load_application(_application(tmp_path))
    (tmp_path / "environments" / "qa.yaml").write_text("canary: {weight: 30}\nenv: {LEVEL: debug}\n")
    overlay = load_overlay(tmp_path, manifest, "qa")
    assert overlay.canary is not None
    assert (overlay.canary.weight, overlay.env) == (30, {"LEVEL": "debug"})
    (tmp_path / "environments" / "qa.yaml").write_text("canary: {wieght: 30}\n")
    with pytest.raises(Invalid, match=r"wieght.*weight"):
        load_overlay(tmp_path, manifest, "qa")
    with pytest.raises(Invalid, match="production"):
        load_overlay(tmp_path, manifest, "production")


def test_a_manifest_or_overlay_that_leads_out_of_the_tree_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text(MANIFEST)
    inside = tmp_path / "app"
    inside.mkdir()
    (inside / "ripple.app.yaml").symlink_to(outside)
    with pytest.raises(Invalid, match="leads out"):
        load_application(inside)
    (inside / "ripple.app.yaml").unlink()
    manifest = load_application(_application(inside, MANIFEST + "environments: ../\n"))
    (tmp_path / "qa.yaml").write_text("{}")
    with pytest.raises(Invalid, match="leads out"):
        load_overlay(inside, manifest, "qa")


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_published_schemas_are_fresh(name: str) -> None:
    published = (project_root() / "manifests" / "schemas" / name).read_text()
    assert published == schema_text(SCHEMAS[name]), (
        "run ripple.delivery.application.write_schemas(manifests/schemas)"
    )
