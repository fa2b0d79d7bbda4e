"""Signed statements: an in-toto Statement v1 about one digest, in a DSSE envelope, by the node's key.

- The payload is canonical JSON (RFC 8785), so the same evidence is the same bytes.
- An envelope counts only as a whole: one signature, by the key that is asked for, over exactly this payload.
"""

from __future__ import annotations

import binascii
import copy
import json
from collections.abc import Mapping
from typing import Any, cast

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.json_format import Parse, ParseError
from in_toto_attestation.v1.statement import STATEMENT_TYPE_URI, Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, UnverifiedSignatureError, VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from ripple.governance.keys import NodeKey
from ripple.model.digest import canonical_json
from ripple.model.errors import Broken, Invalid

PAYLOAD_TYPE = "application/vnd.in-toto+json"
GATE_PREDICATE = "urn:ripple:predicate:gate:v1"
"""What a gate saw: gate, verdict, reasons, data. A name and no address: nothing has to be fetched to read it."""


def sign_statement(
    key: NodeKey, name: str, subject: str, predicate_type: str, predicate: Mapping[str, Any]
) -> dict[str, Any]:
    """The envelope of ``predicate`` about ``name`` at digest ``subject`` (``sha256:…``), as JSON.

    Raises:
        Invalid: the subject is no SHA-256 digest, or the predicate is empty or not JSON.
    """
    statement = {
        "_type": STATEMENT_TYPE_URI,
        "subject": [{"name": name, "digest": {"sha256": _hex(subject)}}],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }
    try:
        payload = canonical_json(statement)
        _check(payload)
    except (rfc8785.CanonicalizationError, ValueError) as error:
        raise Invalid(f"cannot sign {predicate_type} about {name}: {error}") from error
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(key.signer)
    return cast("dict[str, Any]", envelope.to_dict())


def verify_envelope(envelope: Mapping[str, Any], public_pem: str, *, subject: str | None = None) -> dict[str, Any]:
    """The statement in ``envelope``, once the key's signature over it holds.

    With ``subject`` (``sha256:…``) the statement has to speak of that digest and no other.

    Raises:
        Broken: the envelope is malformed, of another type, not signed by this key, or about something else.
    """
    found = _opened(envelope)
    if found.payload_type != PAYLOAD_TYPE:
        raise Broken(f"the envelope holds {found.payload_type!r}, not {PAYLOAD_TYPE}; it is no evidence")
    if len(found.signatures) != 1:
        raise Broken(f"the envelope has {len(found.signatures)} signatures, not one; it was not made here")
    key = _public(public_pem)
    try:
        found.verify([key], 1)
    except (VerificationError, UnverifiedSignatureError) as error:
        raise Broken(
            f"the signature does not hold: the envelope was changed, or key {key.keyid[:12]} did not sign it"
        ) from error
    try:
        statement = _check(found.payload)
    except ValueError as error:
        raise Broken(f"the envelope holds no in-toto statement: {error}") from error
    if subject is not None and _digests(statement) != [subject]:
        raise Broken(f"the evidence is about {', '.join(_digests(statement))}, not about {subject}")
    return statement


def _hex(subject: str) -> str:
    kind, _, digest = subject.partition(":")
    if kind != "sha256" or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise Invalid(f"subject {subject[:80]!r} is no digest; give sha256: and 64 lower-case hex digits")
    return digest


def _check(payload: bytes) -> dict[str, Any]:
    """The payload's statement if in-toto's own library takes it; ValueError if not."""
    checked = Statement([], "", {})
    checked.pb.Clear()
    try:
        Parse(payload, checked.pb)
        checked.validate()
    except ParseError as error:
        raise ValueError(str(error)) from error
    statement: dict[str, Any] = json.loads(payload)
    return statement


def _opened(envelope: Mapping[str, Any]) -> Envelope:
    try:
        # The library decodes the signatures in place.
        return Envelope.from_dict(copy.deepcopy(dict(envelope)))
    except (KeyError, TypeError, ValueError, AttributeError, FormatError, binascii.Error) as error:
        raise Broken(f"the envelope is malformed ({error!r}); it is no evidence") from error


def _public(pem: str) -> SSlibKey:
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError as error:
        raise Broken(f"the public key is unreadable ({error}); give the node's key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Broken("the public key is no Ed25519 key; give the node's key in PEM")
    return SSlibKey.from_crypto(key)


def _digests(statement: Mapping[str, Any]) -> list[str]:
    return [f"{kind}:{digest}" for one in statement["subject"] for kind, digest in one["digest"].items()]
