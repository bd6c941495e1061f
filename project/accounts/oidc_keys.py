"""The keys of an OpenID Connect provider: found by discovery, cached, loaded again on rotation."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from loguru import logger

from project.errors import ProviderUnavailable

DISCOVERY = "/.well-known/openid-configuration"
MIN_RELOAD_SECONDS = 30.0  # between two loads, whatever unknown key ids arrive
REFRESH_SECONDS = 600.0  # a key that the provider withdraws is accepted for so long
LOAD_SECONDS = 5.0  # both requests together
MAX_BYTES = 256 * 1024  # of a response
MAX_KEYS = 100
MIN_RSA_BITS = 2048
HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}

PublicKey = RSAKey | ECKey | OKPKey


class ProviderKeys:
    """The keys of one provider. issuer: exactly as its discovery document has it. clock: seconds.

    Keys that are loaded stay while the provider does not answer.
    """

    def __init__(self, issuer: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._clock = clock
        self._client = httpx2.AsyncClient(timeout=LOAD_SECONDS, headers=HEADERS)
        self._keys = KeySet([])
        self._ids: frozenset[str | None] = frozenset()
        self._tried_at = self._loaded_at = float("-inf")
        self._lock = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    def refresh(self) -> None:
        """Load the keys in the background, unless they were loaded just now or are being loaded."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())

    async def get(self, key_id: str | None) -> KeySet:
        """The keys; they are loaded again where none has this id, every 30 s at most.

        Raises ProviderUnavailable where none could be loaded yet.
        """
        if self._ids and self._clock() - self._loaded_at > REFRESH_SECONDS:
            self.refresh()
        if not self._ids or (key_id is not None and key_id not in self._ids):
            async with self._lock:
                if key_id not in self._ids:  # another request may have loaded them meanwhile
                    await self._load()
        if not self._ids:
            raise ProviderUnavailable("the OpenID Connect provider does not answer; try again")
        return self._keys

    async def reload(self) -> bool:
        """Load the keys again, every 30 s at most; whether they were loaded meanwhile."""
        loaded_at = self._loaded_at
        async with self._lock:
            await self._load()
        return self._loaded_at > loaded_at

    async def aclose(self) -> None:
        """Close the connections."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        await self._client.aclose()

    async def _refresh(self) -> None:
        async with self._lock:
            await self._load()

    async def _load(self) -> None:
        """Load the keys, unless that was tried just now; the lock has to be held."""
        if self._clock() - self._tried_at < MIN_RELOAD_SECONDS:
            return
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                keys, left_out = await self._fetch()
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError) as error:
            reason = str(error) if type(error) is ValueError else type(error).__name__
            logger.bind(reason=reason).warning("oidc_keys_not_loaded")
        else:
            self._keys = KeySet([*keys])
            self._ids = frozenset(key.kid for key in keys)
            self._loaded_at = self._clock()
            logger.bind(keys=len(keys), left_out=left_out).info("oidc_keys_loaded")
        self._tried_at = self._clock()

    async def _fetch(self) -> tuple[list[PublicKey], int]:
        """The provider's keys, and how many more it has that cannot be used.

        Raises ValueError, with what is wrong at the provider, and what httpx2 raises.
        """
        document = await self._get(self._issuer.rstrip("/") + DISCOVERY)
        if document.get("issuer") != self._issuer:
            raise ValueError("the discovery document is of another issuer than OIDC_ISSUER")
        address = document.get("jwks_uri")
        schemes = ("https://",) if self._issuer.startswith("https:") else ("https://", "http://")
        if not isinstance(address, str) or not address.startswith(schemes):
            raise ValueError("the discovery document has no jwks_uri that can be used")
        offered = (await self._get(address)).get("keys")
        if not isinstance(offered, list):
            raise ValueError("the provider's key set is malformed")  # noqa: TRY004 - of a document
        keys = [key for jwk in offered[:MAX_KEYS] if (key := _public_key(jwk)) is not None]
        if not keys:
            raise ValueError("no key of the provider can be used")
        return keys, len(offered) - len(keys)

    async def _get(self, url: str) -> dict[str, Any]:
        """A JSON object, of MAX_BYTES at most; redirects are not followed."""
        body = bytearray()
        async with self._client.stream("GET", url) as response:
            response.raise_for_status()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError("a response of the provider is too large")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise ValueError("a response of the provider is no JSON") from None
        if not isinstance(document, dict):
            raise ValueError("a response of the provider is no JSON object")  # noqa: TRY004 - as above
        return document


def _public_key(jwk: Any) -> PublicKey | None:
    """A key of a set; None for one that cannot verify a token, as sets may have others too."""
    try:
        if jwk.get("use", "sig") != "sig":
            return None
        key: PublicKey
        match jwk["kty"], jwk.get("crv"):
            case "RSA", _:
                key = RSAKey.import_key(jwk)
                if key.public_key.key_size < MIN_RSA_BITS:
                    return None
            case "EC", "P-256":
                key = ECKey.import_key(jwk)
            case "OKP", "Ed25519":
                key = OKPKey.import_key(jwk)
            case _:
                return None
        key.ensure_kid()
    except Exception:  # noqa: BLE001 - one broken key must not take the good ones along
        return None
    return key
