"""Panels of accounts, where AUTH=keys: sign-ins, refused callers, quotas, rates and their store."""

from grafana_foundation_sdk.models import dashboard as dash

from grafana.build import limits
from grafana.build.common import UP
from grafana.build.figures import number
from grafana.build.graphs import Lines, graph
from grafana.build.layout import Section, Shelf
from grafana.build.queries import Query, aggregate, metric, rate, share
from grafana.build.style import About, Display

ATTEMPTS = "auth_attempts_total"
REFUSED = 'outcome="refused"'
SIGN_INS = 'method=~"password|refresh|oidc"'  # as in SignInsFailing: a key signs nobody in
ABSENT = "AUTH=off"
FEW_A_MINUTE = limits.steps(limits.GREEN, (0.1, limits.AMBER))
OUTCOMES = {"ok$": "green", "refused$": "red"}
LIMITS = {
    "^quota$": "blue",
    "^rate, caller$": "light-blue",
    "^rate, address$": "orange",
    "^unchecked, passed$": "yellow",
    "^unchecked, refused$": "red",
}


def section(*matchers: str) -> Section:
    """Who signs in, who is refused, and why."""
    return Section(
        "Accounts",
        [
            Shelf(
                4,
                [
                    (6, _failing(*matchers)),
                    (6, _exhausted(*matchers)),
                    (6, _over_rate(*matchers)),
                    (6, _store(*matchers)),
                ],
            ),
            Shelf(
                8, [(8, _sign_ins(*matchers)), (8, _refused(*matchers)), (8, _limits(*matchers))]
            ),
        ],
    )


def _failing(*matchers: str) -> dash.Panel:
    about = About(
        "Sign-ins that fail",
        "Share of the sign-ins by password, refresh token or OpenID Connect that are refused.",
        "some per cent: people mistype.",
        f"above {limits.SIGN_IN_SHARE:.0%} of many for 5 minutes a ticket: SignInsFailing.",
    )
    refused = rate(ATTEMPTS, *matchers, SIGN_INS, REFUSED)
    steps = limits.below(limits.SIGN_IN_SHARE, limits.SIGN_IN_SHARE / 2)
    display = Display("percentunit", 1, 0, 1, nothing="no sign-ins", steps=steps)
    return number(about, display, [Query(share(refused, rate(ATTEMPTS, *matchers, SIGN_INS)))])


def _exhausted(*matchers: str) -> dash.Panel:
    about = About(
        "Quota exhausted",
        "Requests in a minute of users whose predictions of the month are used up.",
        "0, or as many as you expect of MONTHLY_QUOTA.",
        "the user gets a 429 until the month ends; raise its `monthly_quota` if it should go on.",
    )
    return _a_minute(about, rate("quota_refusals_total", *matchers))


def _over_rate(*matchers: str) -> dash.Panel:
    about = About(
        "Over the rate",
        "Requests in a minute that were refused because a caller or an address sends too many.",
        "0.",
        "addresses: somebody guesses, or many people share one address. Callers: a client that "
        "does not wait for Retry-After; `heaviest_callers` in the log has the ids.",
    )
    return _a_minute(about, rate("rate_limit_refusals_total", *matchers))


def _a_minute(about: About, refused: str) -> dash.Panel:
    display = Display("short", 1, nothing=ABSENT, steps=FEW_A_MINUTE)
    return number(about, display, [Query(f"60 * {refused}")])


def _store(*matchers: str) -> dash.Panel:
    about = About(
        "Limit store",
        "Whether every instance reaches the Redis or Valkey that counts the rates.",
        "up.",
        "rates are not checked then, and LIMITS_FAIL says who passes: LimitStoreDown.",
    )
    display = Display("short", nothing=ABSENT, words=UP, steps=limits.above(1))
    return number(about, display, [Query(aggregate("min", metric("limit_store_up", *matchers)))])


def _sign_ins(*matchers: str) -> dash.Panel:
    about = About(
        "Sign-ins by method and outcome",
        "Sign-ins and renewals of tokens in a second; a key counts when its cached record lapses.",
        "hardly anything refused.",
        "password: guesses. refresh: tokens that are old, or stolen (`refresh_token_reused`). key: "
        "a program with an expired one.",
    )
    query = rate(ATTEMPTS, *matchers, by=("method", "outcome"))
    how = Lines(stacked=True, colours=OUTCOMES, values=("max",))
    display = Display("reqps", nothing=ABSENT)
    return graph(about, display, [Query(query, "{{method}} {{outcome}}")], how)


def _refused(*matchers: str) -> dash.Panel:
    about = About(
        "Callers refused, by reason",
        "Requests refused because of who sent them, in a second.",
        "some missing and expired is normal on the open internet.",
        "reused: a refresh token is in two hands. password, unknown, invalid: somebody guesses. "
        "scope: a key is used for what it may not do; the access log has the client.",
    )
    query = rate("auth_refusals_total", *matchers, by=("reason",))
    how = Lines(stacked=True, values=("max",))
    return graph(about, Display("reqps", nothing=ABSENT), [Query(query, "{{reason}}")], how)


def _limits(*matchers: str) -> dash.Panel:
    about = About(
        "Refused by limits",
        "Requests in a second beyond a quota or a rate, and those whose rate nobody could check.",
        "nothing.",
        "quota, caller: `heaviest_callers` in the log has the ids. address: somebody guesses. "
        "unchecked: the limit store did not answer, LimitStoreDown.",
    )
    queries = [
        Query(rate("quota_refusals_total", *matchers), "quota"),
        Query(rate("rate_limit_refusals_total", *matchers, by=("scope",)), "rate, {{scope}}"),
        Query(
            rate("rate_limit_unchecked_total", *matchers, by=("decision",)),
            "unchecked, {{decision}}",
        ),
    ]
    how = Lines(stacked=True, colours=LIMITS)
    return graph(about, Display("reqps", nothing=ABSENT), queries, how)
