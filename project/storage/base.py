"""The storage interface: put, get, delete, check; and its errors as ours."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import obstore
from loguru import logger
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from project.errors import FileMissing, StorageUnavailable
from project.storage.names import check_key, check_media_type

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import ObjectStore

TIMEOUT_SECONDS = 10.0  # an operation that takes longer fails
MAX_THREADS = 16  # in a pool of its own, so that a storage that hangs blocks nothing else
MARKER = "_check"  # key of the file that `check` writes and looks for
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")  # codes in a 404 of S3 and GCS, and of Azure
MAX_REASON_CHARACTERS = 300  # of an error in the log

T = TypeVar("T")


class Storage(ABC):
    """Stores bytes under keys; `names.is_key` defines a key.

    Every method raises StorageUnavailable where the storage is away, full or rejects our
    credentials, at the latest after the time-out, and ValueError for an invalid key or media type.

    Construct it anywhere, but do not use it in a process that forks afterwards: obstore's threads
    stay in the parent, and in the child no call would return.

    url_seconds: validity of a URL. timeout_seconds: time limit of an operation.
    """

    def __init__(self, url_seconds: float, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._url_seconds = url_seconds
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(MAX_THREADS, "storage")

    @abstractmethod
    async def url(self, key: str, media_type: str, filename: str) -> str:
        """A URL that downloads the file until it expires, whether the file exists or not."""

    @abstractmethod
    def _open(self) -> "ObjectStore":
        """Open the obstore store; called at its first use."""

    @abstractmethod
    def _attributes(self, media_type: str, filename: str) -> "Attributes":
        """Metadata that is stored with the bytes."""

    async def put(
        self, key: str, data: bytes, media_type: str, filename: str | None = None
    ) -> None:
        """Store a file atomically; it replaces an existing one.

        filename: name of its download from a cloud; unset: the key's last part.
        """
        check_key(key)
        check_media_type(media_type)
        attributes = self._attributes(media_type, filename or key.rpartition("/")[2])
        await self._run("put", lambda: self._write(key, data, attributes))

    async def get(self, key: str) -> bytes:
        """The bytes of a file. Raises FileMissing where there is none."""
        check_key(key)
        return await self._run("get", lambda: bytes(obstore.get(self._store, key).bytes()))

    async def delete(self, key: str) -> None:
        """Delete a file; one that does not exist is no error."""
        check_key(key)
        with suppress(FileMissing):
            await self._run("delete", lambda: obstore.delete(self._store, key))

    async def delete_under(self, prefix: str) -> None:
        """Delete every file whose key begins with this prefix and a slash."""
        check_key(prefix)
        await self._run("delete", lambda: self._delete_all(prefix))

    def _delete_all(self, prefix: str) -> None:
        for chunk in obstore.list(self._store, f"{prefix}/"):
            for item in chunk:
                with suppress(FileNotFoundError):  # another sweep was faster
                    obstore.delete(self._store, item["path"])

    async def check(self) -> None:
        """Raise StorageUnavailable unless the storage answers and accepts our credentials.

        Reads a marker file, and writes it where it is missing: at first, or where we may not list,
        as S3 then answers 403 for a missing file. So writing is tested once, and later checks only
        read.
        """
        await self._run("check", self._check_marker)

    def _check_marker(self) -> None:
        try:
            obstore.head(self._store, MARKER)
        except (FileNotFoundError, PermissionDeniedError):
            self._write(MARKER, b"ok\n", self._attributes("text/plain", MARKER))

    def _write(self, key: str, data: bytes, attributes: "Attributes") -> None:
        """Upload in one piece: an interrupted multipart upload would leave parts behind."""
        obstore.put(self._store, key, data, attributes=attributes or None, use_multipart=False)

    @cached_property
    def _store(self) -> "ObjectStore":
        return self._open()

    async def _run(self, operation: str, call: Callable[[], T]) -> T:
        """Call in a thread with a time-out, and translate its errors into ours.

        obstore's own coroutines are not used: their threads call into Python when they are done,
        and abort a process that exits at that moment.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except FileNotFoundError as error:
            if operation in {"get", "delete"} and not _is_missing_bucket(error):
                raise FileMissing(
                    "the file does not exist, or no longer; create it again"
                ) from None
            raise _unavailable(operation, error) from error
        except (BaseError, OSError) as error:
            raise _unavailable(operation, error) from error


def _is_missing_bucket(error: Exception) -> bool:
    return any(code in str(error) for code in NO_BUCKET)


def summary(error: Exception) -> str:
    """An error's message in one line, without the debugging details that obstore appends."""
    return " ".join(str(error).partition("\n\nDebug source")[0].split())[:MAX_REASON_CHARACTERS]


def _unavailable(operation: str, error: Exception) -> StorageUnavailable:
    log = logger.bind(operation=operation, error=type(error).__name__, reason=summary(error))
    log.warning("storage_failed")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return StorageUnavailable("the storage rejects this server's credentials; the log says why")
    return StorageUnavailable("files cannot be stored or read now; retry later")
