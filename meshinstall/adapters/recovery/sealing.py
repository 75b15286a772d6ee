"""Seals bytes to recipients of age (https://age-encryption.org/v1), in memory; implements ports.Sealer."""

from collections.abc import Sequence
from typing import Any

from meshinstall.errors import SnapshotError, UsageError

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

    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise UsageError(
            f"--include-authority: recipient {at} is a private key, and everybody on this machine could see it",
            "make a new key with age-keygen, and give its public key: age1...",
        )
    try:
        return ssh.Recipient.from_str(text) if text.startswith("ssh-") else x25519.Recipient.from_str(text)
    except RecipientError:
        raise UsageError(f"--include-authority: recipient {at} cannot be read", _FORMS) from None
