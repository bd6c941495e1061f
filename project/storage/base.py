"""What every storage does alike: put, get, delete, check; and what its faults become."""

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

ANSWER_SECONDS = 10.0  # a storage that takes longer counts as gone
MAX_THREADS = 16  # of our own, so that a storage that hangs holds up nothing else
MARK = "_check"  # the key of the file that checks write and look for
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")  # in an answer 404, S3's and GCS's, and Azure's
MAX_REASON = 300  # characters of an error that are logged

T = TypeVar("T")


class Storage(ABC):
    """Keeps bytes under keys, which `names.is_key` describes.

    Every method raises StorageUnavailable where the storage is gone, full or refuses us, at the
    latest after ANSWER_SECONDS, and ValueError for a key or a media type that is none.

    Make it anywhere, but use it in no process that forks afterwards: obstore's threads stay behind
    in the parent, and in a child nothing would be answered any more.
    """

    def __init__(self, url_seconds: float) -> None:
        self._url_seconds = url_seconds
        self._threads = ThreadPoolExecutor(MAX_THREADS, "storage")

    @abstractmethod
    async def url(self, key: str, media_type: str, filename: str) -> str:
        """Where anybody can download a file for a while, whether it is there or not."""

    @abstractmethod
    def _open(self) -> "ObjectStore":
        """The store itself, made at its first use."""

    @abstractmethod
    def _attributes(self, media_type: str, filename: str) -> "Attributes":
        """What is kept beside the bytes."""

    async def put(
        self, key: str, data: bytes, media_type: str, filename: str | None = None
    ) -> None:
        """Keep a file, whole or not at all, in the place of one that is there.

        filename: what a cloud calls it where it is downloaded; unset: the key's last part.
        """
        check_key(key)
        check_media_type(media_type)
        attributes = self._attributes(media_type, filename or key.rpartition("/")[2])
        await self._ask("put", lambda: self._write(key, data, attributes))

    async def get(self, key: str) -> bytes:
        """What was put. Raises FileMissing where there is nothing."""
        check_key(key)
        return await self._ask("get", lambda: bytes(obstore.get(self._store, key).bytes()))

    async def delete(self, key: str) -> None:
        """Have nothing under this key, if there was anything."""
        check_key(key)
        with suppress(FileMissing):
            await self._ask("delete", lambda: obstore.delete(self._store, key))

    async def delete_under(self, prefix: str) -> None:
        """Have nothing under the keys that begin with this one and a slash."""
        check_key(prefix)
        await self._ask("delete", lambda: self._delete_all(prefix))

    def _delete_all(self, prefix: str) -> None:
        for chunk in obstore.list(self._store, f"{prefix}/"):
            for item in chunk:
                with suppress(FileNotFoundError):  # another sweep was quicker
                    obstore.delete(self._store, item["path"])

    async def check(self) -> None:
        """Raise StorageUnavailable unless the storage answers and takes our credentials.

        Looks for a mark and writes it where it is not seen: at first, or where we may not list, as
        S3 then answers 403 for what is missing. So writing is tried once and costs nothing later.
        """
        await self._ask("check", self._mark)

    def _mark(self) -> None:
        try:
            obstore.head(self._store, MARK)
        except (FileNotFoundError, PermissionDeniedError):
            self._write(MARK, b"ok\n", self._attributes("text/plain", MARK))

    def _write(self, key: str, data: bytes, attributes: "Attributes") -> None:
        """In one piece: a broken upload in parts would leave parts behind."""
        obstore.put(self._store, key, data, attributes=attributes or None, use_multipart=False)

    @cached_property
    def _store(self) -> "ObjectStore":
        return self._open()

    async def _ask(self, operation: str, call: Callable[[], T]) -> T:
        """Call in a thread, wait for so long and no longer, and turn faults into errors of ours.

        Not through obstore's own coroutines: their threads call into Python when they are done,
        and abort a process that happens to end in that moment.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except FileNotFoundError as error:
            if operation in {"get", "delete"} and not _names(error, NO_BUCKET):
                raise FileMissing("the file is not there, or no longer; make it again") from None
            raise _unavailable(operation, error) from error
        except (BaseError, OSError) as error:
            raise _unavailable(operation, error) from error


def _names(error: Exception, codes: tuple[str, ...]) -> bool:
    return any(code in str(error) for code in codes)


def in_short(error: Exception) -> str:
    """An error's message in one line, without the details for debugging that obstore appends."""
    return " ".join(str(error).partition("\n\nDebug source")[0].split())[:MAX_REASON]


def _unavailable(operation: str, error: Exception) -> StorageUnavailable:
    log = logger.bind(operation=operation, error=type(error).__name__, reason=in_short(error))
    log.warning("storage_failed")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return StorageUnavailable(
            "the storage refuses this server; its operators find why in the log"
        )
    return StorageUnavailable("files cannot be kept or read now; try again in a while")
