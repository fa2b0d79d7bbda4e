"""The node's key: made once, the same for everybody, and refused when it may not be secret any more."""

from __future__ import annotations

import base64
import multiprocessing
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

from ripple.governance.keys import FILE, NodeKey
from ripple.model.errors import Broken


def key_id(folder: str) -> str:
    return NodeKey.load_or_create(Path(folder)).key_id


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first = NodeKey.load_or_create(tmp_path / "keys")
    assert NodeKey.load_or_create(tmp_path / "keys").public_pem == first.public_pem
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "keys" / FILE).stat().st_mode) == 0o600
    assert [one.name for one in (tmp_path / "keys").iterdir()] == [FILE]


def test_an_empty_folder_with_a_wider_mode_is_closed_before_the_key_is_made(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)
    NodeKey.load_or_create(tmp_path / "keys")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_processes_that_start_together_get_the_same_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert len(set(pool.map(key_id, [str(tmp_path / "keys")] * 6))) == 1


def test_a_signature_holds_by_the_public_half_and_the_private_half_is_not_shown(tmp_path: Path) -> None:
    key = NodeKey.load_or_create(tmp_path)
    public = load_pem_public_key(key.public_pem.encode())
    assert isinstance(public, Ed25519PublicKey)
    public.verify(key.sign(b"what was said"), b"what was said")
    secret = base64.b64decode((tmp_path / FILE).read_text().splitlines()[1])
    assert repr(key) == f"NodeKey(key_id={key.key_id!r})"
    assert secret.hex()[-64:] not in repr(key)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    NodeKey.load_or_create(tmp_path)
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(Broken, match=f"mode {mode:04o}.*chmod 600"):
        NodeKey.load_or_create(tmp_path)


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    NodeKey.load_or_create(tmp_path)
    tmp_path.chmod(0o750)
    with pytest.raises(Broken, match="chmod 700"):
        NodeKey.load_or_create(tmp_path)


@pytest.mark.parametrize("content", [b"", b"garbage", CryptoSigner.generate_ecdsa().private_bytes])
def test_garbage_and_other_kinds_of_keys_are_refused_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    NodeKey.load_or_create(tmp_path)
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(Broken, match="restore it from a copy"):
        NodeKey.load_or_create(tmp_path)
    assert (tmp_path / FILE).read_bytes() == content


def test_a_link_in_the_place_of_the_key_is_refused(tmp_path: Path) -> None:
    NodeKey.load_or_create(tmp_path / "real")
    (tmp_path / "keys").mkdir(mode=0o700)
    (tmp_path / "keys" / FILE).symlink_to(tmp_path / "real" / FILE)
    with pytest.raises(Broken, match="cannot be opened"):
        NodeKey.load_or_create(tmp_path / "keys")
