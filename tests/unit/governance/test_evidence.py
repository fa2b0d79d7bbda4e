"""Signed statements: whole, by the right key, about the right digest, or worth nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from ripple.governance.evidence import GATE_PREDICATE, PAYLOAD_TYPE, sign_statement, verify_envelope
from ripple.governance.keys import NodeKey
from ripple.model.digest import digest_bytes
from ripple.model.errors import Broken, Invalid

SUBJECT = digest_bytes(b"a release")
PREDICATE = {"gate": "build", "verdict": "pass", "reasons": ["1 command passed"], "data": {"n": 3}, "at": None}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> NodeKey:
    return NodeKey.load_or_create(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def envelope(key: NodeKey) -> dict[str, Any]:
    return sign_statement(key, "checkout", SUBJECT, GATE_PREDICATE, PREDICATE)


def test_what_was_signed_comes_back(key: NodeKey, envelope: dict[str, Any]) -> None:
    stored = json.loads(json.dumps(envelope))
    statement = verify_envelope(stored, key.public_pem, subject=SUBJECT)
    assert statement["predicate"] == PREDICATE
    assert statement["predicateType"] == GATE_PREDICATE
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "checkout", "digest": {"sha256": SUBJECT.removeprefix("sha256:")}}]
    assert stored == envelope, "verifying changes nothing"


def test_the_same_evidence_is_the_same_envelope(key: NodeKey, envelope: dict[str, Any]) -> None:
    reordered = dict(reversed(PREDICATE.items()))
    assert sign_statement(key, "checkout", SUBJECT, GATE_PREDICATE, reordered) == envelope


def test_the_signature_holds_without_our_libraries(key: NodeKey, envelope: dict[str, Any]) -> None:
    payload = base64.b64decode(envelope["payload"], validate=True)
    kind = envelope["payloadType"].encode()
    signed = b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])
    public: Any = load_pem_public_key(key.public_pem.encode())
    public.verify(base64.b64decode(envelope["signatures"][0]["sig"], validate=True), signed)
    assert envelope["signatures"][0]["keyid"] == key.key_id


def repacked(envelope: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(statement)
    return {**envelope, "payload": base64.b64encode(json.dumps(statement).encode()).decode()}


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["predicate"].update(verdict="fail"),
        lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
        lambda s: s.update(predicateType="urn:other"),
        lambda s: s,
    ],
)
def test_a_changed_payload_is_refused_even_when_it_means_the_same(
    key: NodeKey, envelope: dict[str, Any], change: Callable[[dict[str, Any]], object]
) -> None:
    with pytest.raises(Broken, match="signature does not hold"):
        verify_envelope(repacked(envelope, change), key.public_pem)


def test_another_signature_key_or_key_id_is_refused(
    key: NodeKey, envelope: dict[str, Any], tmp_path: Path
) -> None:
    stranger = NodeKey.load_or_create(tmp_path)
    foreign = sign_statement(stranger, "checkout", SUBJECT, GATE_PREDICATE, PREDICATE)
    own, other = envelope["signatures"][0], foreign["signatures"][0]
    forged = [{**own, "sig": other["sig"]}], [{**own, "keyid": stranger.key_id}], [other], [{**own, "keyid": ""}]
    for signatures in forged:
        with pytest.raises(Broken, match="signature does not hold"):
            verify_envelope({**envelope, "signatures": signatures}, key.public_pem)
    with pytest.raises(Broken, match="signature does not hold"):
        verify_envelope(envelope, stranger.public_pem)


@pytest.mark.parametrize(
    "change",
    [
        {"signatures": []},
        {"signatures": None},
        {"signatures": [{"sig": "AA==", "keyid": "a"}, {"sig": "AA==", "keyid": "b"}]},
        {"signatures": ["x"]},
        {"payload": "%%%"},
        {"payload": None},
        {"payloadType": "text/plain"},
    ],
)
def test_a_malformed_envelope_is_refused_with_a_reason(
    key: NodeKey, envelope: dict[str, Any], change: dict[str, Any]
) -> None:
    with pytest.raises(Broken, match=r"no evidence|not one"):
        verify_envelope({**envelope, **change}, key.public_pem)


def test_evidence_about_another_digest_counts_as_none(key: NodeKey, envelope: dict[str, Any]) -> None:
    with pytest.raises(Broken, match="is about"):
        verify_envelope(envelope, key.public_pem, subject=digest_bytes(b"another release"))


def test_a_signed_payload_that_is_no_statement_is_refused(key: NodeKey) -> None:
    from securesystemslib.dsse import Envelope

    other = Envelope(b'{"verdict": "pass"}', PAYLOAD_TYPE, {})
    other.sign(key.signer)
    with pytest.raises(Broken, match="no in-toto statement"):
        verify_envelope(other.to_dict(), key.public_pem)


@pytest.mark.parametrize("subject", ["", "sha256:", "sha256:" + "g" * 64, "md5:" + "0" * 64, "0" * 64])
def test_a_subject_that_is_no_digest_cannot_be_signed(key: NodeKey, subject: str) -> None:
    with pytest.raises(Invalid, match="no digest"):
        sign_statement(key, "checkout", subject, GATE_PREDICATE, PREDICATE)


@pytest.mark.parametrize("predicate", [{}, {"n": float("nan")}, {"n": {1, 2}}, {"n": 1 << 80}])
def test_what_is_not_json_cannot_be_signed(key: NodeKey, predicate: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="cannot sign"):
        sign_statement(key, "checkout", SUBJECT, GATE_PREDICATE, predicate)


@given(position=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_any_changed_byte_of_payload_or_signature_is_refused(key: NodeKey, position: int, flip: int) -> None:
    envelope = sign_statement(key, "checkout", SUBJECT, GATE_PREDICATE, PREDICATE)
    signature = envelope["signatures"][0]
    for holder, name in ((envelope, "payload"), (signature, "sig")):
        data = bytearray(base64.b64decode(holder[name]))
        data[position % len(data)] ^= flip
        original, holder[name] = holder[name], base64.b64encode(data).decode()
        with pytest.raises(Broken):
            verify_envelope(envelope, key.public_pem)
        holder[name] = original
