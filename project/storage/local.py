"""A folder of this machine, whose addresses the API itself signs and serves."""

import hashlib
import hmac
import json
import math
import os
import secrets
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from obstore.store import LocalStore
from pydantic import SecretStr

from project.errors import Forbidden
from project.storage.base import MARK, Storage, T
from project.storage.names import check_key, check_media_type, is_key

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import ObjectStore

FILES = "/v1/files"
OWN_FILE = ".secret"  # beside the files, for all who share them; no key begins with a dot
SECRET_BYTES = 32


class LocalStorage(Storage):
    """Files in a folder. Their addresses are paths, for this server or another that shares it.

    The folder is the one where the file MARK is. A process makes both, if need be, at its first
    `put` or `check` and never again: once it has used the folder, and for all else from the start,
    a folder without the mark is one that is away, unmounted say, and StorageUnavailable is raised.
    So nothing is told as missing, or written into a mount point, while its disk is elsewhere. Only
    an address needs no folder to be signed, where the secret is known.

    secret: signs the addresses; unset: one is made and kept in the folder.
    now: tells the time in seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        secret: SecretStr | None,
        url_seconds: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(url_seconds)
        self._folder = folder
        self._given = secret
        self._now = now
        self._used = False  # by this process

    async def url(self, key: str, media_type: str, filename: str) -> str:
        """The path that `verify` lets through until it expires."""
        check_key(key)
        check_media_type(media_type)
        expires = str(math.ceil(self._now() + self._url_seconds))
        signature = await self._signature(key, expires, media_type, filename)
        query = {
            "expires": expires,
            "media_type": media_type,
            "filename": filename,
            "signature": signature,
        }
        return f"{FILES}/{key}?{urlencode(query)}"

    async def verify(
        self, key: str, *, expires: str, media_type: str, filename: str, signature: str
    ) -> None:
        """Raise Forbidden unless `url` gave out exactly this, and not too long ago."""
        expected = await self._signature(key, expires, media_type, filename)
        genuine = hmac.compare_digest(expected.encode(), signature.encode())
        if not (genuine and is_key(key)):
            raise Forbidden("this address was not given out so; take it from the job's answer")
        if self._now() >= int(expires):
            raise Forbidden("this address has expired; ask for the job's result again")

    async def check(self) -> None:
        """Raise StorageUnavailable unless the folder takes a file, which costs nothing here."""
        await self.put(MARK, b"ok\n", "text/plain")

    def _open(self) -> "ObjectStore":
        self._look()
        store = LocalStore(self._folder, automatic_cleanup=True)
        self._used = True
        return store

    def _look(self) -> None:
        """Raise OSError where the folder is away."""
        if not (self._folder / MARK).exists():
            raise OSError(f"{self._folder} is away or was never used: there is no {MARK} in it")

    def _write(self, key: str, data: bytes, attributes: "Attributes") -> None:
        if self._used:
            self._look()
        else:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / MARK).touch()
        super()._write(key, data, attributes)

    def _delete_all(self, prefix: str) -> None:
        super()._delete_all(prefix)
        self._look()  # afterwards: of a folder that is away the list is empty

    async def _ask(self, operation: str, call: Callable[[], T]) -> T:
        def ask() -> T:
            try:
                return call()
            except FileNotFoundError:
                self._look()
                raise

        return await super()._ask(operation, ask)

    def _attributes(self, media_type: str, filename: str) -> "Attributes":  # noqa: ARG002
        return {}  # a folder keeps none; the address carries them

    async def _signature(self, key: str, expires: str, media_type: str, filename: str) -> str:
        """HMAC-SHA-256 over all four, which JSON keeps from running into each other."""
        message = json.dumps([key, expires, media_type, filename]).encode()
        secret = await self._ask("sign", lambda: self._secret)
        return hmac.new(secret, message, hashlib.sha256).hexdigest()

    @cached_property
    def _secret(self) -> bytes:
        if self._given is not None:
            return self._given.get_secret_value().encode()
        self._look()
        return kept_secret(self._folder / OWN_FILE)


def kept_secret(path: Path) -> bytes:
    """The secret in a file, which is made if it is not there; many processes may ask at once.

    Raises OSError where the file cannot be read or made, or holds no secret.
    """
    if not path.exists():
        _make_secret(path)
    secret = path.read_bytes()
    if len(secret) < SECRET_BYTES:  # with an empty one anybody could sign
        raise OSError(f"{path} holds no secret; delete it, and another will be made")
    return secret


def _make_secret(path: Path) -> None:
    fresh = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)  # appears whole, and only the first of many
    except FileExistsError:
        return  # another process was first
    finally:
        fresh.unlink(missing_ok=True)
