"""Seals bytes to recipients of age (https://age-encryption.org/v1) and opens them, in memory; implements ports.Sealer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meshinstall.errors import SnapshotError, UsageError

# Bytes of a file of private keys.
_MAX_KEYS = 64 * 1024
_PRIVATE = "AGE-SECRET-KEY-"
_FORMS = "a recipient is age1..., or ssh-ed25519 or ssh-rsa with its key"


class AgeSealer:
    """Recipients by their public keys."""

    def __init__(self, recipients: Sequence[str]) -> None:
        """Parse the recipients; raises UsageError, which repeats none: it might be a private key."""
        self.recipients = tuple(" ".join(one.split()[:2]) for one in recipients)
        self._keys = [_parsed(text, at) for at, text in enumerate(recipients, start=1)]

    def seal(self, secret: bytes) -> bytes:
        """Encrypt in memory."""
        from pyrage import EncryptError, encrypt

        try:
            return bytes(encrypt(secret, self._keys))
        except EncryptError:
            raise SnapshotError("the authority could not be sealed", _FORMS) from None


def _parsed(text: str, at: int) -> Any:
    from pyrage import RecipientError, ssh, x25519

    if text.upper().startswith(_PRIVATE):
        raise UsageError(
            f"--include-authority: recipient {at} is a private key, and everybody on this machine could see it",
            "make a new key with age-keygen, and give its public key: age1...",
        )
    try:
        return ssh.Recipient.from_str(text) if text.startswith("ssh-") else x25519.Recipient.from_str(text)
    except RecipientError:
        raise UsageError(f"--include-authority: recipient {at} cannot be read", _FORMS) from None


def opened(sealed: bytes, identity: Path) -> bytes:
    """What was sealed to one of the private keys in a file of age-keygen or ssh-keygen; raises UsageError and SnapshotError."""
    from pyrage import DecryptError, decrypt

    keys = _identities(identity)
    try:
        return bytes(decrypt(sealed, keys))
    except DecryptError:
        raise SnapshotError(
            f"--identity {identity}: no key in it opens the authority", "name the private key of one of the recipients that mesh.json lists"
        ) from None


def _identities(path: Path) -> list[Any]:
    from pyrage import IdentityError, ssh, x25519

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_KEYS)
    except OSError as error:
        raise UsageError(f"--identity {path}: {error.strerror}") from error
    try:
        if b"PRIVATE KEY-----" in data:
            return [ssh.Identity.from_buffer(data)]
        lines = [line.strip() for line in data.decode().splitlines()]
        found = [x25519.Identity.from_str(line) for line in lines if line.startswith(_PRIVATE)]
    except (IdentityError, UnicodeDecodeError):
        found = []
    if not found:
        raise UsageError(
            f"--identity {path}: no private key can be read", "it is a file of age-keygen, or a private key of ssh without a password"
        )
    return found
