"""Access tokens: signed JWTs (RFC 9068), or encrypted ones; the keys rotate by TOKEN_KEYS."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from joserfc import jwe, jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError
from joserfc.jwk import KeySet, OctKey
from joserfc.jwt import JWTClaimsRegistry

from project.accounts.credentials import derived_key
from project.accounts.refusal import refused

ISSUER = "urn:vitrine"
AUDIENCE = "vitrine-api"
TYPE = "at+jwt"
LEEWAY_SECONDS = 30  # between the clocks of two instances
SIGNATURE = "HS256"
ENCRYPTED_PARTS = 5  # of a compact JWE; a compact JWS has 3
_ENCRYPTION = ("dir", "A256GCM")


@dataclass(frozen=True)
class Claims:
    """What an access token says. Times are seconds since 1970."""

    user_id: str
    issued_at: float
    expires_at: float


@contextmanager
def refusing_invalid() -> Iterator[None]:
    """Turn what is wrong with a token into Unauthorized, and count the refusal."""
    try:
        yield
    except ExpiredTokenError as error:
        raise refused("expired", "the access token has expired; renew it") from error
    except InvalidClaimError as error:
        if error.claim not in {"iss", "aud"}:
            raise refused("invalid", "the access token is not valid; sign in again") from error
        detail = "the access token is of another issuer, or for another audience; sign in here"
        raise refused("issuer", detail) from error
    except (JoseError, ValueError) as error:
        raise refused("invalid", "the access token is not valid; sign in again") from error


class AccessTokens:
    """Issues access tokens and reads them.

    keys: id and secret of each, the newest first; it signs, and all are accepted. seconds: how long
    a token is valid. encrypted: whether new ones are; both kinds are accepted, so that a change of
    the setting signs nobody out.
    """

    def __init__(
        self,
        keys: Sequence[tuple[str, bytes]],
        *,
        seconds: float,
        encrypted: bool,
        clock: Callable[[], float],
    ) -> None:
        self.seconds = seconds
        self._encrypted = encrypted
        self._clock = clock
        self._signing = [OctKey.import_key(secret, {"kid": key_id}) for key_id, secret in keys]
        self._encrypting = [derived_key(secret, "token", key_id) for key_id, secret in keys]
        self._signing_set = KeySet([*self._signing])
        self._encrypting_set = KeySet([*self._encrypting])
        self._registry = jwe.JWERegistry(algorithms=list(_ENCRYPTION))
        self._claims = JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )

    def issue(self, user_id: str) -> str:
        """A token of a user, issued now."""
        now = self._clock()
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "iat": now,
            "exp": now + self.seconds,
        }
        if self._encrypted:
            algorithm, encryption = _ENCRYPTION
            key = self._encrypting[0]
            header = {"alg": algorithm, "enc": encryption, "kid": key.kid, "typ": TYPE}
            return jwt.encode(header, claims, key, registry=self._registry)
        key = self._signing[0]
        return jwt.encode({"alg": SIGNATURE, "kid": key.kid, "typ": TYPE}, claims, key)

    def read(self, token: str) -> Claims:
        """The claims of a valid token. Raises Unauthorized, and counts the refusal."""
        with refusing_invalid():
            found = self._decode(token)
            if found.header.get("typ") != TYPE:
                raise refused("invalid", "this is no access token; sign in for one")
            self._claims.validate(found.claims)
        claims = found.claims
        return Claims(claims["sub"], float(claims["iat"]), float(claims["exp"]))

    def _decode(self, token: str) -> Any:
        if token.count(".") == ENCRYPTED_PARTS - 1:
            return jwt.decode(token, self._encrypting_set, registry=self._registry)
        return jwt.decode(token, self._signing_set, algorithms=[SIGNATURE])
