"""Signatures: a statement in a DSSE envelope, signed with Ed25519, and the keys for it."""

import base64
import binascii
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from fxsim.errors import FileError, ToolError
from fxsim.formats.text import decode_json, read_bounded

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_KEY_BYTES_MAX = 1 << 16


class Signature(Struct, frozen=True, forbid_unknown_fields=True):
    """A signature; `keyid`: sha256 of the public key's 32 bytes."""

    keyid: str
    sig: str


class Envelope(Struct, frozen=True, forbid_unknown_fields=True):
    """A DSSE envelope."""

    payload: str
    payloadType: str  # noqa: N815  # DSSE's name
    signatures: Annotated[tuple[Signature, ...], Meta(min_length=1, max_length=100)]


def authenticated(payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding of a payload and its type."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def seal(statement: bytes, key: Path) -> bytes:
    """A statement in an envelope that the private key in a file signed."""
    private = _private(key)
    public = private.public_key()
    signature = Signature(key_id(public), _text(private.sign(authenticated(statement))))
    envelope = Envelope(_text(statement), PAYLOAD_TYPE, (signature,))
    return msgspec.json.format(msgspec.json.encode(envelope)) + b"\n"


def unseal(where: str, data: bytes, key: Path | None) -> tuple[bytes, tuple[str, ...]]:
    """The statement of a certificate's file, and the ids of the keys that it says signed it: none, if unsigned.

    With the public key in a file, FileError unless it signed these very bytes. Without, signatures are not looked at.
    """
    text = decode_json(where, data, dict[str, msgspec.Raw], "a certificate")
    if "payloadType" not in text:
        if key is not None:
            raise FileError(f"{where}: is not signed, expected the signature of {key}")
        return data, ()
    envelope = decode_json(where, data, Envelope, "a DSSE envelope")
    if envelope.payloadType != PAYLOAD_TYPE:
        raise FileError(f"{where}: holds '{envelope.payloadType[:80]}', expected '{PAYLOAD_TYPE}'")
    payload = _bytes(where, envelope.payload)
    if key is not None:
        _verify(where, envelope, payload, key)
    return payload, tuple(signature.keyid for signature in envelope.signatures)


def _verify(where: str, envelope: Envelope, payload: bytes, key: Path) -> None:
    from cryptography.exceptions import InvalidSignature

    public = _public(key)
    mine = [signature for signature in envelope.signatures if signature.keyid == key_id(public)]
    if not mine:
        raise FileError(
            f"{where}: is not signed by {key}, but by {', '.join(s.keyid[:16] for s in envelope.signatures)}"
        )
    for signature in mine:
        try:
            public.verify(_bytes(where, signature.sig), authenticated(payload))
        except InvalidSignature:
            raise FileError(f"{where}: the signature is not one of {key} of this statement") from None


def new_key(path: Path) -> str:
    """Make a private key in a new file that only its owner can read, and the public one in FILE.pub; the key's id.

    FileError where one of the files is there already.
    """
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    shown = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    public = path.with_name(f"{path.name}.pub")
    if os.path.lexists(public):
        raise FileError(f"{public} is there already: a key is never written over")
    for place, data, mode in ((path, secret, 0o600), (public, shown, 0o644)):
        try:
            # Its mode from the beginning: nobody may have it open by the time it is narrowed.
            with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
                file.write(data)
        except FileExistsError:
            raise FileError(f"{place} is there already: a key is never written over") from None
        except OSError as error:
            raise FileError(f"cannot write {place}: {error.strerror or error}") from None
    return key_id(private.public_key())


def key_id(public: "Ed25519PublicKey") -> str:
    """The id of a key: sha256 of the public one's 32 bytes."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()


def _private(path: Path) -> "Ed25519PrivateKey":
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    data = read_bounded(path, _KEY_BYTES_MAX, "a private key")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise FileError(f"{path}: others than its owner may read it, expected a private key of mode 0600")
    try:
        key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError):
        raise FileError(f"{path}: is no private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise FileError(f"{path}: is a key of another kind, expected Ed25519")
    return key


def _public(path: Path) -> "Ed25519PublicKey":
    serialization = _serialization()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_pem_public_key(read_bounded(path, _KEY_BYTES_MAX, "a public key"))
    except ValueError:
        raise FileError(f"{path}: is no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise FileError(f"{path}: is a key of another kind, expected Ed25519")
    return key


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise ToolError("the extra 'evidence' is not installed, which brings signatures") from None
    return serialization


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(where: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise FileError(f"{where}: has text that is not base64") from None
