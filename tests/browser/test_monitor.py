"""The panel of the server: its arithmetic, what it shows, and what it says where it is off."""

import itertools
import re
from functools import partial

from playwright.sync_api import Route, expect

from tests.browser.conftest import RED

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
QUANTILES = [
    (0.5, [[0.1, 10], [0.2, 20]], 0.1),
    (0.95, [[0.1, 10], [0.2, 20]], 0.19),
    (0.25, [[0.1, 10], [0.2, 20]], 0.05),
    (0.9, [[0.1, 0], [0.2, 0], [0.4, 10]], 0.38),
]


def calculate(tab, expression, *values):
    """Evaluate a function of the page's own module, prometheus.js."""
    return tab.page.evaluate(
        f"async values => {{ const prometheus = await import('/static/prometheus.js');"
        f" const f = {expression}; return f(prometheus, ...values); }}",
        list(values),
    )


def test_the_text_format_is_read_and_its_figures_are_computed_as_prometheus_does(visit, kinds):
    """Escapes and braces, quantiles between the edges of a bucket, increases over a restart."""
    tab = visit(kinds, "/health")
    total = calculate(tab, "(p, text) => p.sum(p.parse(text), 'http_requests_total')", SCRAPE)
    one = "(p, text) => p.select(p.parse(text), 'http_requests_total', {status: '200'})[0].labels"
    odd = calculate(tab, "(p, text) => p.select(p.parse(text), 'odd_total')[0]", SCRAPE)
    assert total == 6
    assert calculate(tab, one, SCRAPE)["handler"] == "/v1/models/{model}"
    assert odd["value"] == 1000
    assert odd["labels"] == {"text": 'a "quoted" \\ and\na line, with} 7'}
    quantile = "(p, q, buckets) => p.quantile(q, [...buckets, [Infinity, buckets.at(-1)[1]]])"
    for q, buckets, expected in QUANTILES:
        assert abs(calculate(tab, quantile, q, buckets) - expected) < 1e-9
    beyond = "p => p.quantile(0.95, [[0.1, 1], [0.2, 2], [Infinity, 10]])"
    nothing = "p => [p.quantile(0.95, [[0.1, 0], [Infinity, 0]]), p.quantile(0.95, [])]"
    assert calculate(tab, beyond) == 0.2
    assert all(value != value for value in calculate(tab, nothing))  # noqa: PLR0124 - NaN
    gain = "(p, before, after) => p.sum(p.increase(p.parse(before), p.parse(after)), 'n_total')"
    assert calculate(tab, gain, "n_total 5", "n_total 7") == 2
    assert calculate(tab, gain, "n_total 5", "n_total 3") == 3
    assert calculate(tab, gain, "", 'n_total{a="b"} 4') == 4


ROUNDS = 10_000  # milliseconds of the page's own clock: several reads of what it reads by itself


def reads_of(tab, path):
    return sum(url.endswith(path) for url in tab.watch.requests)


def show_panel(tab):
    tab.page.locator("#monitor").scroll_into_view_if_needed()
    expect(tab.page.locator("#predictions .value")).to_have_text(re.compile(r"^[\d,]+$"))


def test_a_prediction_shows_in_the_panel_by_its_way_of_sending(visit, product):
    """Count, latency and rate come from the server's own metrics, with a line each."""
    tab = visit(product, "/#classification")
    show_panel(tab)
    before = int(tab.page.locator("#predictions .value").inner_text().replace(",", ""))
    tab.pick(RED)
    expect(tab.page.locator("#predictions .value")).to_have_text(f"{before + 1:,}")
    expect(tab.page.locator("#predictions .note")).to_have_text("1 in the time shown")
    expect(tab.page.locator("#latency .value")).to_have_text(re.compile(r"^[\d.]+ ms$"))
    for tile in ("rate", "latency", "errors", "queue", "workers", "predictions"):
        expect(tab.page.locator(f"#{tile} svg .area")).to_have_attribute("d", re.compile("^M"))
    expect(tab.page.locator("#workers .note")).to_have_text("of 1 that should serve")
    expect(tab.page.locator("#encodings")).to_contain_text("raw body")
    expect(tab.page.locator("#labels li").first).to_contain_text(re.compile(r"\d$"))
    assert tab.watch.errors == []


def test_the_figures_are_what_changed_between_two_reads_and_pause_stops_them(visit, kinds):
    """20 requests and 3 predictions more at each read, at least 2 s apart: 10 a second at most."""
    reads = itertools.count(1)

    def grow(route):
        n = next(reads)
        lines = [
            f'http_requests_total{{status="200"}} {15 * n}',
            f'http_requests_total{{status="503"}} {5 * n}',
            f'http_request_duration_seconds_bucket{{le="0.1"}} {10 * n}',
            f'http_request_duration_seconds_bucket{{le="0.2"}} {20 * n}',
            f'http_request_duration_seconds_bucket{{le="+Inf"}} {20 * n}',
            f'inference_requests_total{{outcome="ok"}} {1000 + 3 * n}',
            f'inference_requests_total{{outcome="invalid"}} {7 * n}',
        ]
        route.fulfill(body="\n".join(lines), content_type="text/plain")

    tab = visit(kinds, "/#noise")
    tab.page.clock.install()
    assert reads_of(tab, "/metrics") == 0  # it is not seen yet
    tab.page.route("**/metrics", grow)
    show_panel(tab)
    expect(tab.page.locator("#latency .value")).to_have_text("190 ms")
    expect(tab.page.locator("#latency .note")).to_have_text("all routes, now")
    assert 0 < float(tab.page.locator("#rate .value").inner_text()) <= 10.1
    expect(tab.page.locator("#errors .value")).to_have_text("25 %")
    expect(tab.page.locator("#predictions .value")).to_have_text(re.compile(r"^1,\d{3}$"))
    gained = tab.page.locator("#predictions .note").inner_text().removesuffix(" in the time shown")
    assert int(gained.replace(",", "")) % 3 == 0
    with tab.page.expect_response("**/metrics"):
        pass  # the next read would begin two seconds later
    tab.press("Pause")
    before = reads_of(tab, "/metrics")
    tab.page.clock.run_for(ROUNDS)
    with tab.page.expect_request("**/metrics"):
        tab.press("Go on")
    assert reads_of(tab, "/metrics") == before + 1


def test_nothing_is_asked_while_the_tab_is_hidden(visit, kinds):
    """A forgotten tab costs the server nothing; a look at it wakes it."""
    tab = visit(kinds, "/health")
    tab.page.clock.install()
    tab.open("/#noise")
    show_panel(tab)
    show_as = """hidden => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    with tab.page.expect_response("**/metrics"), tab.page.expect_response("**/ready"):
        pass  # the next ones would begin two seconds later
    tab.page.evaluate(show_as, True)  # noqa: FBT003
    tab.page.evaluate("() => fetch('/health')")  # what was under way is answered
    before = len(tab.watch.requests)
    tab.page.clock.run_for(ROUNDS)
    with tab.page.expect_request("**/metrics"), tab.page.expect_request("**/ready"):
        tab.page.evaluate(show_as, False)  # noqa: FBT003
    assert len(tab.watch.requests) == before + 2


def test_metrics_that_cannot_be_read_are_said_to_be_elsewhere_or_to_ask_for_a_token(visit, kinds):
    """Quietly, and once: it is how operators want it in production."""
    for status, words, links in ((404, "not on this port", 0), (401, "asks for a token", 1)):
        tab = visit(kinds, "/#noise")
        tab.page.route("**/metrics", partial(Route.fulfill, status=status))
        tab.page.locator("#monitor").scroll_into_view_if_needed()
        expect(tab.page.locator("#monitor-off")).to_have_text(re.compile(words))
        expect(tab.page.locator("#tiles")).to_be_hidden()
        expect(tab.page.get_by_role("link", name="Metrics")).to_have_count(links)
        with tab.page.expect_request("**/ready"):
            pass
        assert reads_of(tab, "/metrics") == 1
