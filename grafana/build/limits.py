"""The thresholds of the panels, amber and red: those of the alerts, defined once."""

from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsConfig, ThresholdsMode

GREEN, AMBER, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "text"

BURN_PAGE = 14.4  # a 30-day budget in two days: pages within minutes
BURN_SLOW_PAGE = 6  # in five days: pages within the hour
BURN_TICKET = 1  # exactly the budget in 30 days
BUDGET_LOW = 0.25  # share of the budget below which risky changes wait
OBJECTIVES = {"availability": 0.999, "latency": 0.99, "jobs": 0.99, "freshness": 0.99}
FRESHNESS_SECONDS = 60  # the edge of the freshness objective
OVERLOAD_SHARE = 0.02  # InferenceSaturated
QUEUE_SHARE = 1  # InferenceSaturated, p95: of the model's slo_seconds
OLDEST_SECONDS = 300  # JobsOldestMessageOld
RETRY_SHARE = 0.5  # JobsRetryStorm
TIME_LIMIT_SHARE = 0.8  # JobsNearTimeLimit
LAG_SECONDS = 1  # EventLoopBlocked, p99
MEMORY_SHARE = 0.9  # MemoryNearLimit
DROPPED_SHARE = 0.5  # WebsocketFramesDropped
SIGN_IN_SHARE = 0.5  # SignInsFailing
DRIFT_WATCH, DRIFT = 0.1, 0.25  # Siddiqi 2006: below 0.1 no change, above 0.25 drift
DRIFT_SAMPLES = 500  # with fewer the index is chance
LOW_CONFIDENCE = "0.3"  # bucket edge of LowConfidence, and its share of predictions
LOW_CONFIDENCE_SHARE = 0.3
ONE_LABEL_SHARE = 0.95  # PredictionsCollapsed
SCRAPE_SECONDS = 5  # MetricsScrapeSlow: half of the time-out of 10 s
SAMPLES = {"api": 2 * 1500, "worker": 2 * 600}  # CardinalityBudget: twice the budget of each kind


def steps(base: str, *rest: tuple[float, str]) -> ThresholdsConfig:
    """Colours by value: `base` below the first number, each colour from its number on."""
    return ThresholdsConfig(
        mode=ThresholdsMode.ABSOLUTE,
        steps=[
            Threshold(value=None, color=base),
            *(Threshold(value=value, color=colour) for value, colour in rest),
        ],
    )


def below(red: float, amber: float | None = None) -> ThresholdsConfig:
    """Green while a value stays below `amber`, red from `red` on."""
    middle = () if amber is None else ((amber, AMBER),)
    return steps(GREEN, *middle, (red, RED))


def above(green: float, amber: float | None = None) -> ThresholdsConfig:
    """Green from `green` on, red below `amber`, or below `green` without an amber."""
    middle = () if amber is None else ((amber, AMBER),)
    return steps(RED, *middle, (green, GREEN))


PLAIN = steps(BLUE)
BURN = steps(GREEN, (BURN_TICKET, AMBER), (BURN_SLOW_PAGE, ORANGE), (BURN_PAGE, RED))
