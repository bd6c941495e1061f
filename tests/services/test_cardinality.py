"""Nothing that a caller can type becomes a series: the product as shipped, under attack."""

import random
import string
from collections.abc import Iterator

import httpx2
import pytest

from drills.server import Server
from drills.waiting import DEADLINE
from project.observability.metrics import METHODS
from tests.conftest import picture
from tests.services.server import serve
from tests.services.stack import standing
from tests.services.wire import exchange, head

BUDGET = 1500
LLHTTP = """
    DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH
    UNLOCK BIND REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE
    UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK UNLINK SOURCE QUERY
"""
KNOWN = LLHTTP.split()
INVENTED = ("SPY", "get", "GETT", "BREW", "A" * 500, "X-1", "G\x00T", "\xe9TAT")
ROUTES = (
    *("/", "/docs", "/openapi.json", "/metadata", "/health", "/ready", "/metrics"),
    *("/v1/models", "/v1/models/x", "/v1/models/classification"),
    *("/v1/models/classification/predictions", "/static/x", "/docs/files/x"),
    *("/v1/models/classification/jobs", "/v1/models/text_to_image/jobs", "/v1/models/x/jobs"),
    *("/v1/jobs", "/v1/jobs/x", "/v1/jobs/x/events", "/v1/jobs/x/result", "/v1/jobs/x/retry"),
    *("/v1/jobs/x/inputs/x", "/v1/files/x", "/v1/cache"),
)
Series = set[tuple[str, tuple[tuple[str, str], ...]]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("cardinality")
    with (
        standing("embedded", folder) as stack,
        serve(folder, app=None, WEB_CONCURRENCY=2, MODELS=None, **stack.variables) as server,
    ):
        for path in (*ROUTES, "/nowhere"):
            for method in ("GET", "HEAD", "POST", "DELETE"):  # what these routes may be asked, once
                exchange(server.port, head(method, path))
        yield server


@pytest.fixture
def dice() -> random.Random:
    return random.Random(7)


def series(server: Server) -> Series:
    return set(server.metrics().series)


def word(dice: random.Random) -> str:
    return "".join(dice.choices(string.ascii_letters + string.digits, k=dice.randint(1, 40)))


def paths(dice: random.Random) -> Iterator[str]:
    """Five hundred paths: unknown, with slashes at their ends, encoded, escaping, huge."""
    for _ in range(100):
        yield f"/{word(dice)}"
        yield f"{dice.choice(ROUTES)}/{word(dice)}/"
        yield f"/v1/{dice.choice(('models', 'jobs'))}/{word(dice)}"
        yield f"/%{dice.randrange(256):02x}{word(dice)}%2e%2e%2f?{word(dice)}={word(dice)}"
        yield dice.choice((f"//{word(dice)}", f"/static/../{word(dice)}", "/" + "a" * 5000))


def test_five_hundred_paths_add_no_series(server, dice):
    """Unknown ones are all `none`; known ones are their route's template."""
    before = series(server)
    for path in paths(dice):
        assert exchange(server.port, head("GET", path)).status in {400, 403, 404}
    assert series(server) - before == set()


def test_methods_are_one_of_a_closed_set_or_refused(server):
    """Thirty that servers know are seven and `other`; unknown ones never get in.

    All that it adds is one counter for each route and each of the eight.
    """
    before = series(server)
    for method in KNOWN:
        for path in (*ROUTES, "/nowhere"):
            assert exchange(server.port, head(method, path)).status < 500
    for method in INVENTED:
        assert exchange(server.port, head(method, "/")).status == 400
    assert exchange(server.port, head("CONNECT", "localhost:80")).status == 400
    new = series(server) - before
    assert {name for name, _ in new} == {"http_requests_total"}
    assert len(new) <= (len(ROUTES) + 1) * len(METHODS)
    assert {dict(labels)["method"] for _, labels in new} <= set(METHODS)


@pytest.mark.parametrize(
    "line",
    [
        "X-Request-ID: " + "é" * 300,
        'X-Request-ID: {"a": 1}',
        "traceparent: 00-" + "0" * 200,
        "traceparent: ff-00000000000000000000000000000000-0000000000000000-00",
        "Content-Type: " + "x" * 5000,
        "Accept: " + "text/html," * 3000,
        "User-Agent: \x01\x02",
        "X-Forwarded-For: nowhere, <script>",
        "Content-Length: -1",
        "Content-Length: " + "9" * 5000,
        "Transfer-Encoding: gzip",
        "Authorization: Bearer \xff",
    ],
)
def test_absurd_headers_make_no_series_and_no_fault(server, line):
    """Whatever is in them, the answer is a plain one."""
    before = series(server)
    assert exchange(server.port, head("GET", "/v1/models", line)).status in {200, 400}
    predictions = "/v1/models/classification/predictions"
    assert exchange(server.port, head("POST", predictions, line)).status in {400, 406, 413, 415}
    new = series(server) - before
    assert {name for name, _ in new} <= {"http_requests_total"}  # the first 406, 413 or 415
    assert len(new) <= 2
    assert not any(dict(labels).get("status", "")[:1] == "5" for _, labels in new)
    assert server.records("request_failed") == []


def test_names_that_a_caller_chooses_make_no_series(server, dice):
    """Of models, fields, parameters, files, types, keys and jobs; each where it is looked at."""
    ask(server, dice)
    before = series(server)
    for _ in range(4):
        ask(server, dice)
    assert series(server) - before == set()


def ask(server: Server, dice: random.Random) -> None:
    """One request for each place where a name may stand."""
    base, image = f"{server.url}/v1/models", picture()
    for model in ("classification", word(dice)):
        for kind in ("predictions", "jobs"):
            url = f"{base}/{model}/{kind}"
            httpx2.post(url, files={word(dice): image}, timeout=DEADLINE)
            httpx2.post(url, params={word(dice): word(dice)}, content=image, timeout=DEADLINE)
            named = (f"{word(dice)}.png", image, f"image/{word(dice)}")
            headers = {"Idempotency-Key": word(dice), "X-Request-ID": word(dice)}
            httpx2.post(url, files={"image": named}, headers=headers, timeout=DEADLINE)
    for path in ("", "/events", "/result", f"/inputs/{word(dice)}"):
        httpx2.get(f"{server.url}/v1/jobs/{dice.randbytes(16).hex()}{path}", timeout=DEADLINE)


def test_after_it_all_workers_stay_within_the_budget(server, dice):
    """A scrape is paid for by the series."""
    for path in paths(dice):
        exchange(server.port, head(dice.choice(KNOWN), path))
    assert len(series(server)) <= BUDGET
