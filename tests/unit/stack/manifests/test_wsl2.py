"""Installing the WSL2 distro, as far as it is data."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.stack.manifests.shipped import MANIFESTS, changed, data, load

from ripple.model.errors import Invalid, Refused
from ripple.stack.load import parse
from ripple.stack.manifests.wsl2 import (
    Assets,
    Distro,
    Fetch,
    Host,
    Request,
    failed_preflight,
    mirrored,
    plan_install,
)
from ripple.stack.systems import load_map

KNOWN = "a" * 64
URL = "https://github.com/nix-community/NixOS-WSL/releases/download/2411.6.0/nixos.wsl"
DISTRO = load("wsl2/distro.json", Distro)


def assets(**values: Any) -> Assets:
    """The assets with a digest for each, as if somebody had computed them."""
    found = changed("wsl2/assets.json", **{"assets__0__sha256": KNOWN, "assets__1__sha256": KNOWN, **values})
    assert isinstance(found, Assets)
    return found


def test_the_distro_has_a_name_a_user_a_version_and_packages() -> None:
    assert (DISTRO.name, DISTRO.default_user, DISTRO.install_dir) == (
        "ripple_wsl",
        "ripple",
        "%LOCALAPPDATA%\\ripple_wsl",
    )
    assert DISTRO.version
    assert {"nushell", "git", "neovim"} <= set(DISTRO.required_packages)


@pytest.mark.parametrize("key", ["name", "default_user", "version", "required_packages"])
def test_a_distro_without_one_of_them_is_refused(key: str) -> None:
    found = data("wsl2/distro.json")
    del found[key]
    with pytest.raises(Invalid, match=key):
        parse(Distro, found, "distro.json")


def test_every_required_package_is_a_system_of_the_map() -> None:
    known = {row.system.id for row in load_map(MANIFESTS).rows}
    assert set(DISTRO.required_packages) - known == set()


def test_a_fresh_machine_imports_by_these_words_exactly() -> None:
    plan = plan_install(DISTRO, assets(), Request())
    assert plan.kind == "import"
    assert plan.fetch == Fetch("nixos.wsl", URL, KNOWN)
    assert plan.commands[0].argv == (
        "wsl.exe",
        "--import",
        "ripple_wsl",
        "%LOCALAPPDATA%\\ripple_wsl",
        "nixos.wsl",
    )


def test_the_smoke_commands_run_inside_the_distro_as_its_user() -> None:
    commands = [
        one.argv for one in plan_install(DISTRO, assets(), Request(distro_name="mine", user="me")).commands
    ]
    assert ("wsl.exe", "-d", "mine", "-u", "me", "--", "nvim", "--headless", "+qall") in commands
    for tool in ("nu", "git", "nvim", "pixi", "holochain", "hc", "lair-keystore"):
        assert ("wsl.exe", "-d", "mine", "-u", "me", "--", tool, "--version") in commands


def test_a_distro_that_exists_is_never_imported_over() -> None:
    plan = plan_install(DISTRO, assets(), Request(existing=("Debian", "ripple_wsl")))
    assert plan.kind == "upgrade"
    assert all("--import" not in one.argv for one in plan.commands)


def test_with_a_folder_of_assets_nothing_is_fetched_from_elsewhere() -> None:
    plan = plan_install(DISTRO, assets(), Request(assets_dir="D:/assets"))
    assert plan.fetch == Fetch("nixos.wsl", "D:/assets/nixos.wsl", KNOWN)


def test_an_asset_without_a_known_digest_is_refused_with_the_reason() -> None:
    shipped = load("wsl2/assets.json", Assets)
    assert [one.sha256 for one in shipped.assets] == [None, None]
    with pytest.raises(Refused, match=r"nixos-wsl-rootfs has no known digest: .*never fetched"):
        plan_install(DISTRO, shipped, Request(assets_dir="D:/assets"))


def test_a_digest_that_is_null_without_a_reason_is_no_manifest() -> None:
    with pytest.raises(Invalid, match="does not say why"):
        changed("wsl2/assets.json", assets__0__why_unknown="")


def test_option_b_is_taken_only_by_somebody_who_accepts_its_drift() -> None:
    known = assets(assets__1__url="https://example.org/debian-rootfs.tar.gz")
    with pytest.raises(Refused, match="drifts"):
        plan_install(DISTRO, known, Request(option="B"))
    assert plan_install(DISTRO, known, Request(option="B", accept_drift=True)).fetch.file == "debian-rootfs.tar.gz"


def test_an_asset_without_a_url_needs_the_folder_that_holds_it() -> None:
    asked = Request(option="B", accept_drift=True)
    with pytest.raises(Refused, match="--assets-dir"):
        plan_install(DISTRO, assets(), asked)


@pytest.mark.parametrize("name", ["", "-d", "a b", "a;calc", "x" * 65])
def test_a_name_that_is_none_of_a_distro_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        changed("wsl2/distro.json", name=name)
    if name:
        with pytest.raises(Invalid, match="no name of a distro"):
            plan_install(DISTRO, assets(), Request(distro_name=name))


def test_only_what_has_a_url_and_a_digest_is_mirrored() -> None:
    ready, left = mirrored(assets())
    assert ready == (Fetch("nixos.wsl", URL, KNOWN),)
    assert left.keys() == {"debian-rootfs"}
    assert mirrored(load("wsl2/assets.json", Assets))[0] == ()


@pytest.mark.parametrize(
    ("host", "exit_code"),
    [
        (Host(19041, wsl_exe=True, virtualization=True), None),
        (Host(19040, wsl_exe=True, virtualization=True), 10),
        (Host(19041, wsl_exe=False, virtualization=True), 11),
        (Host(19041, wsl_exe=True, virtualization=False), 12),
    ],
)
def test_each_failed_preflight_has_an_exit_code_of_its_own(host: Host, exit_code: int | None) -> None:
    failed = failed_preflight(DISTRO, host)
    assert (failed.exit_code if failed else None) == exit_code


def test_two_checks_with_one_exit_code_are_refused() -> None:
    with pytest.raises(Invalid, match="which one failed"):
        changed("wsl2/distro.json", preflight__1__exit_code=10)
