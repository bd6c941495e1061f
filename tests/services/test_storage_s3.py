"""Files in a real S3 server: kept, signed, refused, and its absence told within bounds."""

import asyncio
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest
from loguru import logger

from drills.s3 import BUCKET, SECRET_KEY, S3Server, serving_s3
from drills.waiting import DEADLINE, wait_until
from project.errors import FileMissing, StorageUnavailable
from project.storage import CloudStorage, Storage, make_storage
from project.storage.base import MAX_THREADS
from tests.collectors import unreachable
from tests.conftest import make_settings

KEY, PNG = "jobs/1/result.png", "image/png"
TIMEOUT_SECONDS = 1.0  # of operations that are to fail
MAX_SECONDS = TIMEOUT_SECONDS + 5  # the machine may be busy with other things
REFUSED = {400, 403}  # Amazon answers 403; rclone 400 to what has expired or lacks a signature
CONTENT = bytes(range(256)) * 32_768  # 8 MB: more than a part of an upload in parts would have


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serving_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, s3: S3Server) -> pytest.MonkeyPatch:
    """The variables of this server alone."""
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3.variables.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def storage_at(url: str = f"s3://{BUCKET}/a/prefix", seconds: float = 60) -> Storage:
    return make_storage(make_settings(storage_url=url, storage_url_seconds=seconds))


def impatient_storage() -> Storage:
    return CloudStorage(f"s3://{BUCKET}/a/prefix", 60, TIMEOUT_SECONDS)


@pytest.fixture
def storage(environment) -> Storage:
    return storage_at()


def download(url: str) -> httpx2.Response:
    return httpx2.get(url, timeout=DEADLINE)


def test_what_is_put_is_there_until_it_is_deleted(storage, s3):
    """Under the prefix, in one piece, and deleting twice is fine."""

    async def test() -> None:
        await storage.check()
        for data in (b"", b"\0\xff", CONTENT):
            await storage.put(KEY, data, PNG)
            assert await storage.get(KEY) == data
        assert (s3.folder / "data" / BUCKET / "a" / "prefix" / KEY).read_bytes() == CONTENT
        for _ in range(2):
            await storage.delete(KEY)
        with pytest.raises(FileMissing):
            await storage.get(KEY)

    assert isinstance(storage, CloudStorage)
    asyncio.run(test())


def test_checking_writes_its_mark_once(storage, s3):
    """Later checks read alone, which is cheap in every cloud."""
    mark = s3.folder / "data" / BUCKET / "a" / "prefix" / "_check"
    asyncio.run(storage.check())
    written = mark.stat()
    asyncio.run(storage.check())
    assert (mark.stat().st_mtime_ns, mark.stat().st_ino) == (written.st_mtime_ns, written.st_ino)


def test_a_signed_url_downloads_with_type_and_name(storage):
    """By anybody, without credentials."""
    asyncio.run(storage.put(KEY, b"picture", PNG, "für Anna.png"))
    answer = download(asyncio.run(storage.url(KEY, PNG, "für Anna.png")))
    assert (answer.status_code, answer.content) == (200, b"picture")
    assert answer.headers["content-type"] == PNG
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"f_r Anna.png\"; filename*=UTF-8''f%C3%BCr%20Anna.png"
    )
    asyncio.run(storage.put(KEY, b"picture", PNG))
    answer = download(asyncio.run(storage.url(KEY, PNG, "result.png")))
    assert answer.headers["content-disposition"] == 'attachment; filename="result.png"'


def test_a_changed_url_is_refused(storage):
    """The key, the life, the signature, and no signature at all."""
    asyncio.run(storage.put(KEY, b"picture", PNG))
    asyncio.run(storage.put("jobs/2/result.png", b"another", PNG))
    url = asyncio.run(storage.url(KEY, PNG, "result.png"))
    signature = url.rpartition("X-Amz-Signature=")[2]
    assert download(url).status_code == 200
    for changed in (
        url.replace("jobs/1", "jobs/2"),
        url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"),
        url.replace(signature, "0" * len(signature)),
        url.replace("X-Amz-Signature", "x"),
        urlsplit(url)._replace(query="").geturl(),
    ):
        assert changed != url
        assert download(changed).status_code in REFUSED, changed


def test_a_signed_url_expires(environment):
    """The server itself refuses it then, while one with a longer life goes on."""
    short, long = storage_at(seconds=1), storage_at(seconds=3600)
    asyncio.run(short.put(KEY, b"picture", PNG))
    urls = [asyncio.run(storage.url(KEY, PNG, "result.png")) for storage in (short, long)]
    wait_until(lambda: download(urls[0]).status_code in REFUSED, "the URL has expired")
    assert download(urls[0]).content != b"picture"
    assert download(urls[1]).content == b"picture"


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
def test_wrong_credentials_are_told_as_such(environment, variable):
    """By the check and by everything else, without showing them."""
    environment.setenv(variable, "wrong-credentials")
    storage = storage_at()
    logged: list[str] = []
    sink = logger.add(lambda line: logged.append(str(line.record["extra"])), level="WARNING")

    async def test() -> None:
        for refused in (storage.check(), storage.put(KEY, b"", PNG), storage.get(KEY)):
            with pytest.raises(StorageUnavailable) as told:
                await refused
            assert "credentials" in told.value.detail
            assert "wrong-credentials" not in told.value.detail

    try:
        asyncio.run(test())
    finally:
        logger.remove(sink)
    assert len(logged) == 3
    assert all("403 Forbidden" in line and SECRET_KEY not in line for line in logged)
    assert variable == "AWS_ACCESS_KEY_ID" or "wrong-credentials" not in "".join(logged)


def test_a_bucket_that_is_not_there_is_no_missing_file(environment):
    """A slip in STORAGE_URL must not tell callers that their results are gone."""
    storage = storage_at("s3://not-there")

    async def test() -> None:
        for refused in (storage.check(), storage.put(KEY, b"", PNG), storage.get(KEY)):
            with pytest.raises(StorageUnavailable):
                await refused

    asyncio.run(test())


def test_of_many_puts_at_once_one_is_there_whole(storage):
    """Two workers may write the same result."""

    async def test() -> None:
        contents = [bytes([number]) * 2**18 for number in range(8)]
        await asyncio.gather(*(storage.put(KEY, content, PNG) for content in contents))
        assert await storage.get(KEY) in contents

    asyncio.run(test())


def test_a_server_that_is_gone_is_told_in_time_and_found_again(environment, tmp_path):
    """Without a restart of ours."""
    with serving_s3(tmp_path / "own") as server:
        environment.setenv("AWS_ENDPOINT_URL", server.endpoint)
        storage = storage_at()
        asyncio.run(storage.put(KEY, b"picture", PNG))
        server.stop()
        assert seconds_until_unavailable(impatient_storage()) < MAX_SECONDS
        server.start()
        assert asyncio.run(storage.get(KEY)) == b"picture"
        asyncio.run(storage.check())


@pytest.mark.parametrize("hangs", [True, False])
def test_an_endpoint_that_refuses_or_hangs_is_told_in_time(environment, hangs):
    """A caller waits for seconds, not for the minutes of a default."""
    with unreachable(hangs=hangs) as nothing:
        environment.setenv("AWS_ENDPOINT_URL", nothing.url)
        assert seconds_until_unavailable(impatient_storage()) < MAX_SECONDS


def seconds_until_unavailable(storage: Storage) -> float:
    """The longest that an operation took to fail, more of them at once than have a thread."""

    async def timed(operation: object) -> float:
        started = time.monotonic()
        with pytest.raises(StorageUnavailable):
            await operation
        return time.monotonic() - started

    async def test() -> float:
        operations = (
            storage.check(),
            storage.put(KEY, CONTENT, PNG),
            storage.get(KEY),
            storage.delete(KEY),
            *(storage.get(KEY) for _ in range(2 * MAX_THREADS)),
        )
        return max(await asyncio.gather(*(timed(operation) for operation in operations)))

    return asyncio.run(test())
