"""Secrets of accounts: random tokens and their digests, and the keys that sign and encrypt."""

import hashlib
import hmac
import secrets
from pathlib import Path

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from project.errors import ConfigurationError
from project.settings import Settings
from project.storage.local import load_or_create_secret

PREFIX = "vitrine_"  # secret scanners find it, and no JWT begins with it
LOCAL_SECRET = Path("var/accounts.secret")  # in local, where none is set
LOCAL_KEY_ID = "local"
_DIRECT = {"alg": "dir", "enc": "A256GCM"}


def new_secret(kind: str) -> str:
    """A new token of 256 random bits: vitrine_KIND_ and 43 characters of base64url."""
    return f"{PREFIX}{kind}_{secrets.token_urlsafe(32)}"


def digest(secret: str) -> str:
    """SHA-256, which is enough for a secret of 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def token_keys(settings: Settings) -> tuple[tuple[str, bytes], ...]:
    """The keys of TOKEN_KEYS, the newest first; in local a generated one.

    Raises ConfigurationError where it cannot be generated, and where a key is missing.
    """
    check_keys(settings)
    pairs = tuple((key_id, secret.encode()) for key_id, secret in settings.token_secrets)
    return pairs or ((LOCAL_KEY_ID, _local_secret()),)


def check_keys(settings: Settings) -> None:
    """Raise ConfigurationError where a key is missing that may not be generated."""
    if settings.missing_keys:
        raise ConfigurationError(settings.missing_keys[0])


def derived_key(secret: bytes, purpose: str, key_id: str) -> OctKey:
    """A key of 256 bits for one purpose."""
    derived = hashlib.sha256(purpose.encode() + b"\0" + secret).digest()
    return OctKey.import_key(derived, {"kid": key_id})


class DocumentCipher:
    """Encrypts documents of users for the database (AES-256-GCM, as a JWE), and compares them."""

    def __init__(self, settings: Settings) -> None:
        check_keys(settings)
        configured = settings.document_key
        secret = configured.get_secret_value().encode() if configured else _local_secret()
        self._key = derived_key(secret, "document", "document")
        self._digest_key = hashlib.sha256(b"document-digest\0" + secret).digest()

    def digest(self, text: str) -> str:
        """HMAC-SHA-256: the same for the same document, and of no use without the key.

        A plain digest would give the numbers away: there are few enough to try them all.
        """
        return hmac.new(self._digest_key, text.encode(), hashlib.sha256).hexdigest()

    def encrypt(self, text: str) -> str:
        """The text as a compact JWE."""
        return jwe.encrypt_compact(_DIRECT, text, self._key, algorithms=[*_DIRECT.values()])

    def decrypt(self, encrypted: str) -> str | None:
        """The text; None where it was encrypted with another key."""
        try:
            found = jwe.decrypt_compact(encrypted, self._key, algorithms=[*_DIRECT.values()])
        except JoseError:
            return None
        return (found.plaintext or b"").decode()


def _local_secret() -> bytes:
    try:
        LOCAL_SECRET.parent.mkdir(parents=True, exist_ok=True)
        return load_or_create_secret(LOCAL_SECRET)
    except OSError as error:
        raise ConfigurationError(
            f"TOKEN_KEYS: set it, as {LOCAL_SECRET} cannot be written: {error.strerror}"
        ) from error
