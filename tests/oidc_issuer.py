"""An OpenID Connect provider on loopback: discovery, a key set that rotates, and tokens."""

import json
import time
from collections.abc import Mapping
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from tests.deploy.http_stub import Answer, Request, StubServer

AUDIENCE = "vitrine"
DISCOVERY, KEY_SET = "/.well-known/openid-configuration", "/keys"
ALGORITHMS = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519"}


def rsa_key(key_id: str, bits: int = 2048) -> RSAKey:
    return RSAKey.generate_key(bits, {"kid": key_id})


def ec_key(key_id: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": key_id})


def ed25519_key(key_id: str) -> OKPKey:
    return OKPKey.generate_key("Ed25519", {"kid": key_id})


class Issuer(StubServer):
    """key: signs the tokens and is published. others: JSON Web Keys that are published too.

    changes: of the discovery document. status: of every answer. body: in place of the key set.
    """

    def __init__(self, key: Key | None = None) -> None:
        super().__init__(self._respond)
        self.key = key or ec_key("one")
        self.others: list[Any] = []
        self.changes: dict[str, Any] = {}
        self.status = 200
        self.body: bytes | None = None

    @property
    def loads(self) -> int:
        """How often the key set was fetched."""
        return sum(request.path == KEY_SET for request in self.requests)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of Ann's token; a change to None leaves a claim out."""
        now = time.time()
        valid = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ann-at-the-provider",
            "iat": now,
            "exp": now + 300,
            "email": "Ann@Example.org",
            "name": "Ann Example",
        }
        return {name: value for name, value in (valid | changes).items() if value is not None}

    def token(
        self, *, key: Key | None = None, header: Mapping[str, Any] = {}, **changes: Any
    ) -> str:
        """A token of Ann."""
        key = key or self.key
        fields = {"alg": ALGORITHMS[key.key_type], "kid": key.kid, "typ": "JWT", **header}
        claims = json.dumps(self.claims(**changes))
        return jws.serialize_compact(fields, claims, key, algorithms=[fields["alg"]])

    def _respond(self, request: Request, _: bytes) -> Answer:
        if request.path == DISCOVERY:
            # What the metadata say of algorithms is no reason to accept one.
            offered = {"id_token_signing_alg_values_supported": ["none", "HS256", "RS256"]}
            found: Any = {"issuer": self.url, "jwks_uri": self.url + KEY_SET, **offered}
            found |= self.changes
        else:
            found = {"keys": [*self.others, self.key.as_dict(private=False)]}
        body = self.body if self.body is not None and request.path == KEY_SET else None
        content = json.dumps(found).encode() if body is None else body
        return self.status, {"Content-Type": "application/json"}, content
