"""A folder of this machine; the API itself signs and serves its URLs."""

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
from project.storage.base import MARKER, Storage, T
from project.storage.names import check_key, check_media_type, is_key

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import ObjectStore

FILES = "/v1/files"
SECRET_FILE = ".secret"  # noqa: S105 - a name; beside the files, as no key begins with a dot
SECRET_BYTES = 32


class LocalStorage(Storage):
    """Files in a folder. Their URLs are paths at this server, or at another that shares the folder.

    The folder has a file MARKER. A process creates both, if necessary, at its first `put` or
    `check` and never again: once it has used the folder, and for every other operation from the
    start, a folder without MARKER counts as unmounted, and StorageUnavailable is raised. So no file
    is reported as missing, or written into an empty mount point, while its disk is away. To sign
    a URL takes no folder where the secret is set.

    secret: signs URLs; None: one is generated and stored in the folder.
    clock: the current time in seconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        secret: SecretStr | None,
        url_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(url_seconds)
        self._folder = folder
        self._configured_secret = secret
        self._clock = clock
        self._used = False  # by this process

    async def url(self, key: str, media_type: str, filename: str) -> str:
        """A path that `verify` accepts until it expires."""
        check_key(key)
        check_media_type(media_type)
        expires = str(math.ceil(self._clock() + self._url_seconds))
        signature = await self.sign(key, expires, media_type, filename)
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
        """Raise Forbidden unless `url` returned exactly this, and it has not expired."""
        expected = await self.sign(key, expires, media_type, filename)
        genuine = hmac.compare_digest(expected.encode(), signature.encode())
        if not (genuine and is_key(key)):
            raise Forbidden("the signature does not match; take the URL from the job")
        if self._clock() >= int(expires):
            raise Forbidden("the URL has expired; get the job again for a new one")

    async def check(self) -> None:
        """Raise StorageUnavailable unless a file can be written, which is cheap here."""
        await self.put(MARKER, b"ok\n", "text/plain")

    def _open(self) -> "ObjectStore":
        self._require_marker()
        store = LocalStore(self._folder, automatic_cleanup=True)
        self._used = True
        return store

    def _require_marker(self) -> None:
        """Raise OSError where the folder is unmounted or moved."""
        if not (self._folder / MARKER).exists():
            raise OSError(
                f"{self._folder} is not mounted or was never used: there is no {MARKER} in it"
            )

    def _write(self, key: str, data: bytes, attributes: "Attributes") -> None:
        if self._used:
            self._require_marker()
        else:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / MARKER).touch()
        super()._write(key, data, attributes)

    def _delete_all(self, prefix: str) -> None:
        super()._delete_all(prefix)
        self._require_marker()  # afterwards: the list of an unmounted folder is empty

    async def _run(self, operation: str, call: Callable[[], T]) -> T:
        def checked() -> T:
            try:
                return call()
            except FileNotFoundError:
                self._require_marker()
                raise

        return await super()._run(operation, checked)

    def _attributes(self, media_type: str, filename: str) -> "Attributes":  # noqa: ARG002
        return {}  # a folder stores none; they are part of the URL

    async def sign(self, key: str, expires: str, media_type: str, filename: str) -> str:
        """HMAC-SHA-256 of all four; JSON separates them unambiguously."""
        message = json.dumps([key, expires, media_type, filename]).encode()
        secret = await self._run("sign", lambda: self._secret)
        return hmac.new(secret, message, hashlib.sha256).hexdigest()

    @cached_property
    def _secret(self) -> bytes:
        if self._configured_secret is not None:
            return self._configured_secret.get_secret_value().encode()
        self._require_marker()
        return load_or_create_secret(self._folder / SECRET_FILE)


def load_or_create_secret(path: Path) -> bytes:
    """The secret in a file, which is created where it does not exist; safe in many processes.

    Raises OSError where the file cannot be read or created, or holds no secret.
    """
    if not path.exists():
        _create_secret(path)
    secret = path.read_bytes()
    if len(secret) < SECRET_BYTES:  # with an empty one, anybody could sign
        raise OSError(f"{path} holds no secret; delete it, and another is generated")
    return secret


def _create_secret(path: Path) -> None:
    fresh = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)  # atomic, and fails for all but the first process
    except FileExistsError:
        return  # another process was first
    finally:
        fresh.unlink(missing_ok=True)
