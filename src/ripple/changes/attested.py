"""Whether a row of evidence may be believed: the signature over its statement holds, and the row says the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ripple.governance.evidence import verify_envelope
from ripple.model.errors import Broken

BOUND = ("subject", "gate", "environment", "verdict")


def doubt(row: Mapping[str, Any], public_pem: str) -> str:
    """Why the row is no evidence; empty when its statement is signed by this key and says what the row says."""
    try:
        statement = verify_envelope(row["envelope"], public_pem)
    except Broken as error:
        return str(error)
    subjects = [f"sha256:{subject['digest']['sha256']}" for subject in statement["subject"]]
    said = {"subject": subjects[0] if len(subjects) == 1 else subjects, **statement["predicate"]}
    differing = [key for key in BOUND if said.get(key) != row[key]]
    return f"the statement and its row differ in {', '.join(differing)}" if differing else ""
