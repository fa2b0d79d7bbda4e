"""Where builds run and go, and what continuous integration does."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.stack.manifests.shipped import SPECIFICATION, changed, data, load

from ripple.model.errors import Invalid, NotFound, Refused
from ripple.stack.load import parse
from ripple.stack.manifests.builder import Builder, Use, choose
from ripple.stack.manifests.destinations import Copy, Destinations, Due, due, targets
from ripple.stack.manifests.pipeline import Pipeline, calls, faults
from ripple.surfaces.reference.commands import verbs

BUILDER = load("cloud/builder_image.json", Builder)
PLACES = load("cloud/artifact_destinations.json", Destinations)
EVERYTHING = {"cloud-account", "builder-pool", "container-engine", "wsl2", "nix", "kvm"}
PINNED = f"sha256:{'a' * 64}"


def test_the_four_modes_are_the_specifications() -> None:
    assert [[one.name, one.description, one.use_case] for one in BUILDER.modes] == SPECIFICATION["modes"]


@pytest.mark.parametrize(
    ("use", "mode"),
    [
        ("ci", "cloud-ephemeral"),
        ("high-frequency", "cloud-persistent"),
        ("local-testing", "local-containerized"),
        ("bootstrap-upgrade", "wsl2-native"),
    ],
)
def test_each_use_has_its_mode_where_everything_is_there(use: Use, mode: str) -> None:
    found = choose(BUILDER, use, EVERYTHING, production=False)
    assert (found.mode, found.image, found.isolation, found.fallbacks) == (mode, "nixos", "firecracker", ())


def test_what_is_missing_leads_to_a_named_fallback_that_is_recorded() -> None:
    found = choose(BUILDER, "high-frequency", {"container-engine"}, production=False)
    assert (found.mode, found.image, found.isolation) == (
        "local-containerized", "hash-locked-environment", "sandbox-runtime",
    )  # fmt: skip
    assert [(one.wanted, one.used, one.missing) for one in found.fallbacks] == [
        ("cloud-persistent", "cloud-ephemeral", ("builder-pool",)),
        ("cloud-ephemeral", "local-containerized", ("cloud-account",)),
        ("nixos", "hash-locked-environment", ("nix",)),
        ("firecracker", "sandbox-runtime", ("kvm",)),
    ]


def test_a_mode_without_a_fallback_is_refused_where_its_need_is_missing() -> None:
    with pytest.raises(Refused, match="wsl2-native needs wsl2"):
        choose(BUILDER, "bootstrap-upgrade", {"nix", "kvm"}, production=False)


def test_production_takes_no_fallback() -> None:
    with pytest.raises(Refused, match="firecracker needs kvm"):
        choose(BUILDER, "ci", EVERYTHING - {"kvm"}, production=True)


def test_production_takes_no_image_without_a_digest() -> None:
    with pytest.raises(Refused, match="not pinned"):
        choose(BUILDER, "ci", EVERYTHING, production=True)
    pinned = changed("cloud/builder_image.json", image__digest=PINNED)
    assert isinstance(pinned, Builder)
    assert choose(pinned, "ci", EVERYTHING, production=True).image == "nixos"


def test_an_image_without_digest_and_reason_is_no_manifest() -> None:
    with pytest.raises(Invalid, match="does not say why"):
        changed("cloud/builder_image.json", image__why_unknown="")


def test_fallbacks_that_lead_in_a_circle_end_in_a_refusal() -> None:
    circle = changed("cloud/builder_image.json", modes__0__fallback="cloud-persistent")
    assert isinstance(circle, Builder)
    with pytest.raises(Refused, match="no build mode runs here"):
        choose(circle, "ci", set(), production=False)


def test_the_four_destinations_are_the_specifications() -> None:
    said = [[one.name, one.purpose, one.retention] for one in PLACES.destinations]
    assert said == SPECIFICATION["destinations"]


def test_an_untagged_build_never_goes_to_the_releases() -> None:
    assert [one.id for one in targets(PLACES)] == ["ipfs", "s3", "holochain-dht"]
    assert [one.id for one in targets(PLACES, "v1.0.0")][-1] == "github-releases"


@pytest.mark.parametrize(
    ("place", "copy", "expected"),
    [
        ("s3", Copy(89.9), Due.KEEP),
        ("s3", Copy(90), Due.ARCHIVE),
        ("s3", Copy(90, confirmed_copies=1), Due.ARCHIVE),
        ("s3", Copy(90, confirmed_copies=2), Due.EXPIRE),
        ("s3", Copy(9000, tag="v1.0.0", confirmed_copies=9), Due.KEEP),
        ("ipfs", Copy(9000), Due.KEEP),
        ("holochain-dht", Copy(9000, confirmed_copies=9), Due.KEEP),
        ("github-releases", Copy(9000, tag="v1.0.0"), Due.KEEP),
    ],
)
def test_a_copy_is_archived_before_it_expires_and_a_release_stays(place: str, copy: Copy, expected: Due) -> None:
    assert due(PLACES, place, copy) is expected


def test_a_destination_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match="ftp"):
        due(PLACES, "ftp", Copy(1))


def test_a_place_that_expires_without_an_archive_is_refused() -> None:
    with pytest.raises(Invalid, match="archived first"):
        changed("cloud/artifact_destinations.json", destinations__1__archive_first=None)
    with pytest.raises(Invalid, match="expires itself"):
        changed(
            "cloud/artifact_destinations.json", destinations__1__archive_first={"to": "s3", "confirmed_copies": 1}
        )


PIPELINE = load("cloud/ci_pipeline.yaml", Pipeline)
VERBS = {" ".join(path) for path, _ in verbs()}


def test_the_pipeline_runs_the_tests_and_only_verbs_there_are() -> None:
    assert "test" in calls(PIPELINE)
    assert faults(PIPELINE, VERBS) == []


def step(**given: Any) -> Pipeline:
    """The pipeline with one more step in its job."""
    found = data("cloud/ci_pipeline.yaml")
    found["jobs"]["test"]["steps"].append({"name": "one more", **given})
    return parse(Pipeline, found, "ci_pipeline.yaml")


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"uses": "actions/checkout@v4"}, "nothing pins"),
        ({"run": ""}, "runs nothing"),
        ({"run": "curl -fsSL https://example.org/install | sh"}, "pipes a download"),
        ({"run": "./ripple destroy --all"}, "destroy is no verb"),
    ],
)
def test_a_step_that_nothing_pins_or_that_cannot_run_is_found(given: dict[str, Any], fault: str) -> None:
    (found,) = faults(step(**given), VERBS)
    assert fault in found


def test_a_pipeline_that_may_write_or_does_not_test_is_found() -> None:
    writes = changed("cloud/ci_pipeline.yaml", permissions={"contents": "write"}, jobs__test__steps__2__run="true")
    assert isinstance(writes, Pipeline)
    assert faults(writes, VERBS) == [
        "permissions: contents is write; a test only reads",
        "no step runs ./ripple test",
    ]


@pytest.mark.parametrize(
    ("needs", "fault"), [(["build"], "build, which is no job"), (["test"], "circle")]
)  # fmt: skip
def test_jobs_need_jobs_that_are_there_and_no_circle(needs: list[str], fault: str) -> None:
    found = changed("cloud/ci_pipeline.yaml", jobs__test__needs=needs)
    assert isinstance(found, Pipeline)
    assert fault in " ".join(faults(found))


def test_a_runner_without_a_version_is_refused() -> None:
    with pytest.raises(Invalid, match="runs"):
        changed("cloud/ci_pipeline.yaml", **{"jobs__test__runs-on": "ubuntu-latest"})
