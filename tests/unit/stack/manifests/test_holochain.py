"""The mesh's own files: networks, pins, the conductor's configuration and the five applications."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.stack.manifests.shipped import MANIFESTS, ROOT, SPECIFICATION, changed, data, load

from ripple.model.errors import Invalid, NotFound, Refused
from ripple.stack.manifests.conductor import BOOTSTRAP, SIGNAL, Conductor, Options, render, variables
from ripple.stack.manifests.dnas import INDEX, NAMES, Dna, admit, index_text, load_dnas, unpinned
from ripple.stack.manifests.holohash import Kind, decode, encode, location
from ripple.stack.manifests.networks import Networks, resolve
from ripple.stack.manifests.versions import (
    BELONG,
    BINARIES,
    COLUMNS,
    Versions,
    binaries_rows,
    differences,
    faults,
    mismatches,
)

NETWORKS = load("holochain/networks.json", Networks)
VERSIONS = load("holochain/versions.json", Versions)
CONDUCTOR = load("holochain/conductor.yaml", Conductor)
HERE = {"RIPPLE_DATA": "/data", BOOTSTRAP: "https://b.example", SIGNAL: "wss://s.example"}
CORES = st.binary(min_size=32, max_size=32)


def test_the_three_networks_have_the_specifications_addresses() -> None:
    for name, said in SPECIFICATION["networks.json"].items():
        assert data("holochain/networks.json")[name].items() >= said.items()


def test_without_a_name_the_local_network_is_taken() -> None:
    found = resolve(NETWORKS)
    assert (found.name, found.bootstrap_url, found.signal_url, found.discovery) == (
        "ripple-local",
        None,
        None,
        "mdns",
    )
    assert (found.persistence, found.warnings) == ("session", ())


@pytest.mark.parametrize("name", ["mainnet", "ripple-mainnet"])
def test_a_network_is_found_by_both_its_names(name: str) -> None:
    assert resolve(NETWORKS, name).name == "ripple-mainnet"


def test_every_network_has_a_seed_of_its_own() -> None:
    assert len({resolve(NETWORKS, name).seed for name in ("mainnet", "testnet", "local")}) == 3
    with pytest.raises(Invalid, match="one network"):
        changed("holochain/networks.json", testnet__network_seed="ripple-mainnet")


def test_a_pruned_network_gets_a_new_seed_each_thirty_days_and_a_permanent_one_never() -> None:
    seeds = [resolve(NETWORKS, "testnet", day=day).seed for day in (0, 29, 30, 60)]
    assert seeds[0] == seeds[1]
    assert len(set(seeds)) == 3
    assert len({resolve(NETWORKS, "mainnet", day=day).seed for day in (0, 30, 6000)}) == 1


def test_servers_that_are_examples_are_warned_of_until_another_is_given() -> None:
    assert "example" in resolve(NETWORKS, "testnet").warnings[0]
    found = resolve(NETWORKS, "testnet", bootstrap_override="https://mine.example")
    assert (found.bootstrap_url, found.warnings) == ("https://mine.example", ())


def test_a_network_that_is_not_there_is_refused() -> None:
    with pytest.raises(NotFound, match="mainnet, testnet and local"):
        resolve(NETWORKS, "devnet")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"local__discovery": "bootstrap"}, "needs a bootstrap_url"),
        ({"testnet__prune_days": None}, "pruned"),
        ({"mainnet__prune_days": 3}, "pruned"),
        ({"mainnet__signal_url": "https://signal.example"}, "signal_url"),
    ],
)
def test_a_network_that_contradicts_itself_is_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        changed("holochain/networks.json", **values)


def test_the_pins_are_the_specifications() -> None:
    assert data("holochain/versions.json") == SPECIFICATION["versions.json"]
    assert VERSIONS.pins() == SPECIFICATION["versions.json"]


def test_the_table_of_programs_has_the_specifications_three_rows_of_five_columns() -> None:
    lines = (ROOT / BINARIES).read_text().splitlines()
    assert lines == [",".join(COLUMNS), *SPECIFICATION["binaries.csv"]]
    assert [len(row) for row in binaries_rows()] == [5, 5, 5]
    assert faults(VERSIONS, (ROOT / BINARIES).read_text()) == []


def test_a_table_with_another_shape_or_a_program_without_a_pin_is_found() -> None:
    table = "kind,name,what,source,repository\nruntime,hcterm,a terminal,vendor,holochain/holochain\nruntime,hc\n"
    assert faults(VERSIONS, table) == [
        "tables/binaries.csv has a row of 2 columns: ['runtime', 'hc']",
        "hcterm is in tables/binaries.csv and has no pin",
    ]


def test_what_is_installed_is_compared_with_the_pins() -> None:
    same = {"holochain": "0.4.0", "hc": "0.4.0", "lair-keystore": "0.4.5"}
    assert differences(VERSIONS, same) == []
    assert differences(VERSIONS, {**same, "hc": "0.6.3"}) == ["hc is pinned to 0.4.0 and is 0.6.3"]
    assert len(differences(VERSIONS, {})) == 3


def test_pins_that_were_never_released_together_are_found() -> None:
    assert mismatches(VERSIONS) == [
        "lair-keystore is 0.4.5; holochain 0.4.0 belongs with 0.5.3",
        "hdi is not pinned; holochain 0.4.0 belongs with 0.5.0",
    ]
    belong = {"hc": "0.6.3", "hdk": "0.6.3", **BELONG["0.6.3"]}
    assert mismatches(Versions.model_validate({"holochain": "0.6.3", **belong})) == []
    assert "nothing is known" in mismatches(Versions.model_validate({**VERSIONS.pins(), "holochain": "9.9.9"}))[-1]


def test_the_conductors_configuration_is_the_specifications() -> None:
    assert data("holochain/conductor.yaml") == SPECIFICATION["conductor.yaml"]


def test_the_oldest_form_is_written_with_every_variable_replaced() -> None:
    found = render(CONDUCTOR, "0.4.0", HERE, Options(lair_public_key="KEY"))
    assert found.config == {
        "data_root_path": "/data/holochain",
        "keystore": {"type": "lair_server", "connection_url": "unix:///data/lair/socket?k=KEY"},
        "admin_interfaces": [{"driver": {"type": "websocket", "port": 8888, "allowed_origins": "ripple"}}],
        "network": {
            "bootstrap_service": "https://b.example",
            "network_type": "quic_bootstrap",
            "transport_pool": [{"type": "webrtc", "signal_url": "wss://s.example"}],
            "tuning_params": {"gossip_loop_iteration_delay": 100, "agent_info_expires_after_ms": 1200000},
        },
    }
    assert found.warnings == ("allowed_origins '*' was narrowed to 'ripple'",)


@pytest.mark.parametrize(
    ("version", "keys"),
    [
        ("0.5.6", {"bootstrap_url", "signal_url", "target_arc_factor", "advanced"}),
        ("0.6.3", {"bootstrap_url", "signal_url", "target_arc_factor", "advanced"}),
        ("0.7.0", {"bootstrap_url", "relay_url", "target_arc_factor", "advanced"}),
    ],
)
def test_later_forms_have_their_own_keys_and_tell_what_they_leave_out(version: str, keys: set[str]) -> None:
    found = render(CONDUCTOR, version, HERE, Options(relay_url="https://r.example"))
    assert found.config["network"].keys() == keys
    assert "tuning_params" not in found.config
    assert "environment_path" not in found.config
    assert found.config["network"]["advanced"]["k2Gossip"]["initiateIntervalMs"] == 100
    assert any("agent_info_expires_after_ms was left out" in one for one in found.warnings)
    assert any("signal_url was left out" in one for one in found.warnings) == (version == "0.7.0")


def test_a_version_nobody_knows_is_refused() -> None:
    with pytest.raises(Invalid, match=r"0\.9\.0"):
        render(CONDUCTOR, "0.9.0", HERE)


@pytest.mark.parametrize("name", HERE)
def test_a_variable_that_is_not_set_is_an_error_that_names_it(name: str) -> None:
    with pytest.raises(Invalid, match=name):
        render(CONDUCTOR, "0.4.0", {key: value for key, value in HERE.items() if key != name})


def test_any_origin_is_warned_of_and_only_taken_when_asked_for() -> None:
    open_one = render(CONDUCTOR, "0.4.0", HERE, Options(origins="*"))
    assert any("any web page may drive" in one for one in open_one.warnings)
    narrow = changed("holochain/conductor.yaml", admin_interfaces__0__driver__allowed_origins="mine")
    assert isinstance(narrow, Conductor)
    found = render(narrow, "0.4.0", HERE, Options(lair_public_key="KEY"))
    assert found.config["admin_interfaces"][0]["driver"]["allowed_origins"] == "mine"
    assert found.warnings == ()


def test_the_port_of_the_admin_interface_can_be_another() -> None:
    found = render(CONDUCTOR, "0.4.0", HERE, Options(admin_port=0))
    assert found.config["admin_interfaces"][0]["driver"]["port"] == 0


def test_a_keystore_without_the_key_of_its_server_is_warned_of() -> None:
    assert any("lair_public_key" in one for one in render(CONDUCTOR, "0.4.0", HERE).warnings)


def test_a_network_gives_the_conductors_variables_and_a_local_one_needs_a_server() -> None:
    assert variables(resolve(NETWORKS, "mainnet")) == {
        BOOTSTRAP: "https://bootstrap.ripple.io/mainnet",
        SIGNAL: "wss://signal.ripple.io/mainnet",
    }
    with pytest.raises(Refused, match="start a local one"):
        variables(resolve(NETWORKS))
    local = variables(resolve(NETWORKS), Options(local_bootstrap_url="http://127.0.0.1:1234"))
    assert local == {BOOTSTRAP: "http://127.0.0.1:1234", SIGNAL: "ws://127.0.0.1:1234"}


def pinned(name: str, value: str) -> dict[str, Dna]:
    """The five definitions with one of them pinned."""
    found = load_dnas(MANIFESTS)
    return {**found, name: Dna.model_validate({**found[name].model_dump(by_alias=True), "hash": value})}


def test_the_five_applications_have_the_specifications_purpose_and_zomes() -> None:
    said = [[name, purpose, zomes.split("`, `")] for name, purpose, zomes in SPECIFICATION["dnas"]]
    assert [[one.name, one.purpose, list(one.zomes)] for one in load_dnas(MANIFESTS).values()] == said


def test_the_index_says_of_each_what_its_definition_says() -> None:
    index = json.loads((MANIFESTS / "holochain" / "dnas" / INDEX).read_text())
    assert index.pop("$comment").startswith("generated by")
    assert index == {name: one.hash for name, one in load_dnas(MANIFESTS).items()}
    real = encode(Kind.DNA, b"x" * 32)
    assert json.loads(index_text(pinned("policy_store", real)))["policy_store"] == real


def test_what_was_never_built_has_no_hash_and_says_why() -> None:
    assert unpinned(load_dnas(MANIFESTS)).keys() == set(NAMES)
    with pytest.raises(Invalid, match="does not say why"):
        changed("holochain/dnas/policy_store.json", why_no_hash="")


@pytest.mark.parametrize("value", ["uhCkk...", "uhC0k...", encode(Kind.ACTION, b"x" * 32), "", "QmX"])
def test_only_a_real_hash_of_a_dna_is_a_pin(value: str) -> None:
    with pytest.raises(Invalid, match="hash"):
        changed("holochain/dnas/policy_store.json", hash=value)


def test_only_what_hashes_to_its_pin_is_admitted() -> None:
    right, wrong = encode(Kind.DNA, b"x" * 32), encode(Kind.DNA, b"y" * 32)
    dnas = pinned("policy_store", right)
    assert admit(dnas, "policy_store", right).name == "policy_store"
    with pytest.raises(Refused, match="is pinned to"):
        admit(dnas, "policy_store", wrong)
    with pytest.raises(Refused, match="no pinned hash"):
        admit(dnas, "memory_shards", right)
    with pytest.raises(NotFound, match="no DNA"):
        admit(dnas, "other", right)


def test_a_link_to_what_is_no_entry_is_refused() -> None:
    with pytest.raises(Invalid, match="which is no entry"):
        changed("holochain/dnas/policy_store.json", links__name_to_versions__target="Nothing")


@pytest.mark.parametrize(("kind", "begins"), [(Kind.DNA, "uhC0k"), (Kind.AGENT, "uhCAk"), (Kind.ACTION, "uhCkk")])
def test_a_hash_begins_as_holochains_do(kind: Kind, begins: str) -> None:
    assert kind.shown == begins
    assert encode(kind, b"\0" * 32).startswith(begins)


@settings(deadline=None)
@given(core=CORES, kind=st.sampled_from(Kind))
def test_a_hash_is_read_back_as_it_was_written(core: bytes, kind: Kind) -> None:
    assert decode(kind, encode(kind, core)) == core
    assert len(encode(kind, core)) == 53


@settings(deadline=None)
@given(core=CORES, at=st.integers(0, 35))
def test_a_hash_with_one_changed_bit_is_refused(core: bytes, at: int) -> None:
    raw = bytearray(Kind.DNA.value + core + location(core))
    raw[3 + at] ^= 1
    with pytest.raises(Invalid, match="was changed"):
        decode(Kind.DNA, "u" + base64.urlsafe_b64encode(bytes(raw)).decode())
