"""The live strip: its arithmetic, what it shows, and what it says where it can read nothing."""

import itertools
import re

import pytest
from playwright.sync_api import expect

from tests.photos import photo
from tests.services.server import serve

SCRAPE = r"""
# HELP http_requests_total Requests answered.
# TYPE http_requests_total counter
http_requests_total{handler="/v1/models/{model}",method="GET",status="200"} 4.0
http_requests_total{handler="none",method="other",status="404"} 2.0 1395066363000
odd_total{text="a \"quoted\" \\ and\na line, with} 7"} 1e3
d_bucket{le="0.1"} 10
d_bucket{le="0.2"} 20
d_bucket{le="+Inf"} 20
"""


def calculate(tab, expression, *values):
    """Evaluate a function of the page's own module, prometheus.js."""
    return tab.page.evaluate(
        f"async values => {{ const prometheus = await import('/static/prometheus.js');"
        f" const f = {expression}; return f(prometheus, ...values); }}",
        list(values),
    )


def test_the_text_format_is_read_with_its_escapes_and_braces(visit, product):
    """A handler's template has braces, a label may hold anything, a time may follow the value."""
    tab = visit(product)
    total = calculate(tab, "(p, text) => p.sum(p.parse(text), 'http_requests_total')", SCRAPE)
    one = "(p, text) => p.select(p.parse(text), 'http_requests_total', {status: '200'})[0].labels"
    odd = calculate(tab, "(p, text) => p.select(p.parse(text), 'odd_total')[0]", SCRAPE)
    assert total == 6
    assert calculate(tab, one, SCRAPE)["handler"] == "/v1/models/{model}"
    assert odd["value"] == 1000
    assert odd["labels"] == {"text": 'a "quoted" \\ and\na line, with} 7'}


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        (0.5, [[0.1, 10], [0.2, 20]], 0.1),
        (0.95, [[0.1, 10], [0.2, 20]], 0.19),
        (0.25, [[0.1, 10], [0.2, 20]], 0.05),
        (0.9, [[0.1, 0], [0.2, 0], [0.4, 10]], 0.38),
    ],
)
def test_the_quantile_lies_on_the_line_between_two_edges(visit, product, q, buckets, expected):
    """As histogram_quantile has it: rank within the bucket, the lowest one from 0."""
    tab = visit(product)
    expression = "(p, q, buckets) => p.quantile(q, [...buckets, [Infinity, buckets.at(-1)[1]]])"
    assert calculate(tab, expression, q, buckets) == pytest.approx(expected)


def test_a_quantile_beyond_the_last_edge_is_that_edge_and_of_nothing_is_none(visit, product):
    """The histogram knows no more; and no requests have no latency."""
    tab = visit(product)
    beyond = "p => p.quantile(0.95, [[0.1, 1], [0.2, 2], [Infinity, 10]])"
    nothing = "p => [p.quantile(0.95, [[0.1, 0], [Infinity, 0]]), p.quantile(0.95, [])]"
    assert calculate(tab, beyond) == 0.2
    assert all(value != value for value in calculate(tab, nothing))  # noqa: PLR0124 - NaN


def test_an_increase_survives_a_restart_and_a_new_series(visit, product):
    """A counter that fell began again at 0, and one that was not there began at 0."""
    tab = visit(product)
    expression = (
        "(p, before, after) => p.sum(p.increase(p.parse(before), p.parse(after)), 'n_total')"
    )
    assert calculate(tab, expression, "n_total 5", "n_total 7") == 2
    assert calculate(tab, expression, "n_total 5", "n_total 3") == 3
    assert calculate(tab, expression, "", 'n_total{a="b"} 4') == 4


def test_a_prediction_shows_in_the_strip(visit, product):
    """Count, latency and rate come from the server's own metrics, with a line each."""
    tab = visit(product)
    made = tab.page.locator("#predictions .value")
    expect(made).to_have_text(re.compile(r"^\d+$"))
    before = int(made.inner_text())
    tab.pick(photo("chelsea"))
    expect(made).to_have_text(str(before + 1))
    expect(tab.page.locator("#predictions .note")).to_have_text("1 in the time shown")
    expect(tab.page.locator("#latency .value")).to_have_text(re.compile(r"^[\d.]+ ms$"))
    expect(tab.page.locator("#rate .value")).to_have_text(re.compile(r"^\d"))
    for tile in ("rate", "latency", "predictions"):
        expect(tab.page.locator(f"#{tile} svg .area")).to_have_attribute("d", re.compile("^M"))
    expect(tab.page.locator("#state")).to_have_text("Ready")


def test_the_figures_are_what_changed_between_two_reads(visit, product):
    """20 requests and 3 predictions more at each read, at least 2 s apart: 10 a second at most."""
    reads = itertools.count(1)

    def grow(route):
        n = next(reads)
        lines = [
            f'http_requests_total{{status="200"}} {20 * n}',
            f'http_request_duration_seconds_bucket{{le="0.1"}} {10 * n}',
            f'http_request_duration_seconds_bucket{{le="0.2"}} {20 * n}',
            f'http_request_duration_seconds_bucket{{le="+Inf"}} {20 * n}',
            f'inference_requests_total{{outcome="ok"}} {1000 + 3 * n}',
            f'inference_requests_total{{outcome="invalid"}} {7 * n}',
        ]
        route.fulfill(body="\n".join(lines), content_type="text/plain")

    tab = visit(product, "/docs")
    tab.page.route("**/metrics", grow)
    tab.open()
    expect(tab.page.locator("#latency .value")).to_have_text("190 ms")
    expect(tab.page.locator("#latency .note")).to_have_text("all routes, now")
    assert 0 < float(tab.page.locator("#rate .value").inner_text()) <= 10.1
    expect(tab.page.locator("#predictions .value")).to_have_text(re.compile(r"^1,\d{3}$"))
    gained = tab.page.locator("#predictions .note").inner_text().removesuffix(" in the time shown")
    assert int(gained) > 0
    assert int(gained) % 3 == 0


def test_polling_rests_while_the_tab_is_hidden(visit, product):
    """A forgotten tab costs the server nothing; a look at it wakes it."""
    tab = visit(product)
    expect(tab.page.locator("#rate svg path").first).to_be_attached()
    show_as = """hidden => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    tab.page.evaluate(show_as, True)  # noqa: FBT003
    tab.page.wait_for_load_state("networkidle")  # a read that was under way has ended
    reads = len(tab.watch.requests)
    tab.page.wait_for_timeout(5_000)  # more than two rounds of what must not happen
    assert len(tab.watch.requests) == reads
    with tab.page.expect_request("**/metrics"):
        tab.page.evaluate(show_as, False)  # noqa: FBT003


def test_metrics_on_a_port_of_their_own_are_said_to_be_elsewhere(visit, tmp_path, free_ports):
    """The strip says so once, the link to them is gone, and the page goes on."""
    port, metrics_port = free_ports
    with serve(tmp_path, WEB_CONCURRENCY=1, PORT=port, METRICS_PORT=metrics_port) as server:
        tab = visit(server)
        expect(tab.page.locator("#live-off")).to_have_text(re.compile("not on this port"))
        expect(tab.page.locator("#tiles")).to_be_hidden()
        expect(tab.page.get_by_role("link", name="Metrics")).to_have_count(0)
        expect(tab.page.locator("#state")).to_have_text("Ready")
        for _ in range(2):  # the state is still watched; two rounds show that the metrics are not
            with tab.page.expect_request("**/ready"):
                pass
        assert sum(url.endswith("/metrics") for url in tab.watch.requests) == 1


def test_metrics_that_demand_a_token_are_said_to_do_so(visit, tmp_path):
    """Quietly: it is how operators want it in production."""
    with serve(tmp_path, WEB_CONCURRENCY=1, METRICS_TOKEN="a-token-of-some-length") as server:
        tab = visit(server)
        expect(tab.page.locator("#live-off")).to_have_text(re.compile("asks for a token"))
        expect(tab.page.locator("#tiles")).to_be_hidden()
        expect(tab.page.locator("#problem")).to_be_empty()


def test_a_model_that_did_not_load_turns_the_state_red_by_name(visit, tmp_path):
    """The first thing an operator sees is which check fails; a picture gets the server's advice."""
    with serve(tmp_path, ready=503, WEB_CONCURRENCY=1, REVISION="unloadable") as server:
        tab = visit(server)
        expect(tab.page.locator("#state")).to_have_text("Not ready: model:shade")
        expect(tab.page.locator("#facts")).to_contain_text("not loaded")
        tab.pick(photo("coffee"))
        expect(tab.page.locator("#problem")).to_contain_text("Model unavailable")
