"""The signed addresses of a local folder: as given out or not at all, and for a while only."""

import asyncio
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.testclient import TestClient

from project.api import problems
from project.api.routes.local_files import files_router
from project.errors import Forbidden, StorageUnavailable
from project.storage.local import LocalStorage, load_or_create_secret
from tests.unit.test_storage_names import TRICKS

SECRET = SecretStr("a-secret-of-some-length")
KEY, PNG, NAME = "jobs/1/result.png", "image/png", "für Anna.png"
LIFE = 60.0


class Clock:
    """A time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.5

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def storage(tmp_path, clock) -> LocalStorage:
    return LocalStorage(tmp_path / "files", SECRET, LIFE, clock)


@pytest.fixture
def client(storage) -> TestClient:
    """An application that serves this folder and nothing else."""
    app = FastAPI(openapi_url=None)
    problems.register(app)
    app.include_router(files_router(storage))
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def url(storage) -> str:
    """The address of a file that is there."""
    asyncio.run(storage.put(KEY, b"picture", PNG))
    return asyncio.run(storage.url(KEY, PNG, NAME))


def parts_of(url: str) -> tuple[str, dict[str, str]]:
    path, query = urlsplit(url).path, parse_qs(urlsplit(url).query, keep_blank_values=True)
    return path, {name: value for name, (value,) in query.items()}


def assert_refused(answer: Any, status: int, kind: str) -> str:
    """A problem document; returns its detail."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:vitrine:problem:{kind}"
    return answer.json()["detail"]


def test_the_address_serves_the_file_as_a_download_that_can_do_nothing(client, url):
    """Its type and its name, and no way to run anything in a browser."""
    answer = client.get(url)
    assert (answer.status_code, answer.content) == (200, b"picture")
    assert answer.headers["content-type"] == PNG
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"f_r Anna.png\"; filename*=UTF-8''f%C3%BCr%20Anna.png"
    )
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "sandbox"} <= set(policy)
    assert not any("allow" in rule or "unsafe" in rule for rule in policy)
    assert answer.headers["cache-control"] == "private, no-store"
    assert "etag" not in answer.headers


def test_a_page_or_a_script_is_kept_from_being_one(client, storage):
    """Whatever a file holds and says that it is."""
    asyncio.run(storage.put("page", b"<script>alert(1)</script>", "text/html"))
    answer = client.get(asyncio.run(storage.url("page", "text/html", "a.html")))
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]


def test_head_tells_the_size_and_sends_nothing(client, url):
    """So that a client can see whether the file is there."""
    answer = client.head(url)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "7"
    assert client.head(url.replace("signature=", "signature=0")).status_code == 403


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("expires", "1900000000"),
        ("expires", "0"),
        ("expires", "never"),
        ("expires", ""),
        ("expires", "9" * 5000),
        ("media_type", "text/html"),
        ("media_type", ""),
        ("filename", "invoice.exe"),
        ("filename", ""),
        ("signature", "0" * 64),
        ("signature", ""),
        ("signature", "ü"),
    ],
)
def test_a_changed_address_is_refused(client, url, name, value):
    """In any of its parts, with advice and without a word of what was expected."""
    path, query = parts_of(url)
    answer = client.get(f"{path}?{urlencode(query | {name: value})}")
    assert "job" in assert_refused(answer, 403, "forbidden")


@pytest.mark.parametrize("name", ["expires", "media_type", "filename", "signature"])
def test_an_address_that_lacks_a_part_is_refused(client, url, name):
    """All of them are signed."""
    path, query = parts_of(url)
    del query[name]
    assert_refused(client.get(f"{path}?{urlencode(query)}"), 403, "forbidden")


def test_the_signature_of_one_file_opens_no_other(client, storage, url):
    """Nor does one over the same letters, cut elsewhere."""
    asyncio.run(storage.put("jobs/2/result.png", b"another", PNG))
    _, query = parts_of(url)
    for path in ("/v1/files/jobs/2/result.png", "/v1/files/jobs/1/result.pn"):
        assert_refused(client.get(f"{path}?{urlencode(query)}"), 403, "forbidden")
    moved = query | {"media_type": PNG[:-1], "filename": PNG[-1] + NAME}
    assert_refused(client.get(f"/v1/files/{KEY}?{urlencode(moved)}"), 403, "forbidden")


def test_every_changed_letter_of_a_signature_is_noticed(client, url):
    """At each place."""
    path, query = parts_of(url)
    right = query["signature"]
    for place, letter in enumerate(right):
        other = "1" if letter == "0" else "0"
        wrong = query | {"signature": right[:place] + other + right[place + 1 :]}
        assert client.get(f"{path}?{urlencode(wrong)}").status_code == 403


def test_an_address_expires(client, clock, url):
    """To the second, and the answer says what to do."""
    clock.now += LIFE
    assert client.get(url).status_code == 200
    clock.now += 1
    assert "expired" in assert_refused(client.get(url), 403, "forbidden")


def test_a_file_that_is_gone_is_a_404(client, storage, url):
    """Its time is over, the address may still be known."""
    asyncio.run(storage.delete(KEY))
    assert_refused(client.get(url), 404, "file-missing")


def test_a_folder_that_is_gone_is_a_503(client, tmp_path, storage, url):
    """A fault of ours, which may pass, is not told as one of the caller's."""
    (tmp_path / "files").rename(tmp_path / "elsewhere")
    (tmp_path / "files").write_text("in the way")
    assert_refused(client.get(url), 503, "storage-unavailable")


@pytest.mark.parametrize("key", [key for key in TRICKS if key])
@pytest.mark.parametrize("encode", [quote, lambda key: quote(key, safe="")])
def test_path_tricks_are_refused_even_with_a_valid_signature(client, clock, storage, key, encode):
    """As if the secret had leaked: an invalid key opens nothing."""
    expires = str(int(clock() + LIFE))
    query = {"expires": expires, "media_type": PNG, "filename": NAME}
    signature = asyncio.run(storage.sign(key, expires, PNG, NAME))
    with pytest.raises(Forbidden):
        asyncio.run(storage.verify(key, **query, signature=signature))
    answer = client.get(f"/v1/files/{encode(key)}?{urlencode(query | {'signature': signature})}")
    assert answer.status_code in {403, 404}
    assert answer.headers["content-type"] == "application/problem+json"


def test_another_secret_signs_otherwise(tmp_path, clock, url, client):
    """Changing it closes every address that was given out."""
    other = LocalStorage(tmp_path / "files", SecretStr("another-secret-here"), LIFE, clock)
    assert client.get(asyncio.run(other.url(KEY, PNG, NAME))).status_code == 403


def test_without_a_secret_one_is_made_and_kept_for_all_who_share_the_folder(tmp_path, clock):
    """Only its owner can read it, and no key reaches it."""
    one, other = (LocalStorage(tmp_path / "files", None, LIFE, clock) for _ in range(2))
    asyncio.run(one.check())
    assert asyncio.run(one.url(KEY, PNG, NAME)) == asyncio.run(other.url(KEY, PNG, NAME))
    kept = tmp_path / "files" / ".secret"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert len(kept.read_bytes()) == 64
    with pytest.raises(ValueError, match="no key"):
        asyncio.run(one.get(".secret"))


def test_many_processes_that_start_at_once_agree_on_the_secret(tmp_path):
    """The first one wins, and nothing of the others is left."""
    path = tmp_path / ".secret"
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        secrets = set(pool.map(load_or_create_secret, [path] * 32))
    assert len(secrets) == 1
    assert list(Path(path.parent).iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_secret_file_that_holds_none_signs_nothing(tmp_path, clock, content):
    """With an empty secret anybody could sign."""
    (tmp_path / ".secret").write_bytes(content)
    storage = LocalStorage(tmp_path, None, LIFE, clock)
    asyncio.run(storage.check())
    with pytest.raises(StorageUnavailable):
        asyncio.run(storage.url(KEY, PNG, NAME))
