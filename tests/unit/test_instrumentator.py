"""What is counted of a request: the template of its route, however often its path came before."""

from collections import Counter

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from project.observability.metrics import HTTP_REQUESTS
from project.observability.request_context import instrument

ASKED = (
    ("GET", "/things"),
    ("POST", "/things"),  # of the other route
    ("DELETE", "/things"),  # of none: the first that has the path answers 405
    ("GET", "/things/a"),
    ("GET", "/things/{name}"),  # as a caller may write it
    ("GET", "/nothing/there"),
)


def counted() -> Counter[tuple[str, str, str]]:
    """How often each method, handler and status was counted."""
    found: Counter[tuple[str, str, str]] = Counter()
    for sample in (item for metric in HTTP_REQUESTS.collect() for item in metric.samples):
        if sample.name == "http_requests_total":
            labels = sample.labels
            found[labels["method"], labels["handler"], labels["status"]] = int(sample.value)
    return found


def test_the_second_time_counts_as_the_first():
    """Nothing that is remembered of one method or path is told of another."""

    async def answer(_request):
        return Response("done")

    app = Starlette(
        routes=[
            Route("/things", answer, methods=["GET"]),
            Route("/things/{name}", answer, methods=["GET"]),
            Route("/{word}", answer, methods=["POST"]),
        ]
    )
    instrument(app)
    client = TestClient(app)
    rounds = []
    for _ in range(3):
        before = counted()
        for method, path in ASKED:
            client.request(method, path)
        rounds.append(counted() - before)
    assert rounds[0] == rounds[1] == rounds[2]
    assert rounds[0] == {
        ("GET", "/things", "200"): 1,
        ("POST", "/{word}", "200"): 1,
        ("DELETE", "/things", "405"): 1,
        ("GET", "/things/{name}", "200"): 2,
        ("GET", "none", "404"): 1,
    }
