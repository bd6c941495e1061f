"""The catalogue: every metric that is exposed, declared once; docs and tests are made from it.

Base units, `_total` on counters, closed label sets, no pid. No name is built from a client's
input. `declare` at the end creates the series of the closed sets with 0, so that an alert sees a
rate of 0 instead of no data.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily

from project.observability import multiprocess

multiprocess.install()
disable_created_metrics()  # type: ignore[no-untyped-call]  # in several processes there are none either

Kind = Literal["counter", "gauge", "histogram"]
Mode = Literal["livesum", "livemin", "livemax"]


@dataclass(frozen=True)
class Spec:
    """One line of the catalogue. values: the closed set of each label that has one.

    kept: by our processes, in their files; the others are observed at each scrape.
    """

    section: str
    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mode: Mode | None = None
    buckets: tuple[float, ...] = ()
    kept: bool = True


CATALOGUE: list[Spec] = []
FOREIGN: list[Spec] = []  # metrics of a library, with names of its own
_section = ""


def _begin(section: str) -> None:
    global _section  # noqa: PLW0603 - headings of the list below
    _section = section


def _counter(
    name: str, text: str, labels: Sequence[str] = (), **values: tuple[str, ...]
) -> Counter:
    CATALOGUE.append(Spec(_section, name, "counter", text, tuple(labels), values))
    return Counter(name, text, labels)


def _gauge(name: str, text: str, labels: Sequence[str] = (), *, mode: Mode) -> Gauge:
    CATALOGUE.append(Spec(_section, name, "gauge", text, tuple(labels), mode=mode))
    return Gauge(name, text, labels, multiprocess_mode=mode)


def _histogram(
    name: str,
    text: str,
    labels: Sequence[str] = (),
    *,
    buckets: tuple[float, ...],
    **values: tuple[str, ...],
) -> Histogram:
    spec = Spec(_section, name, "histogram", text, tuple(labels), values, buckets=buckets)
    CATALOGUE.append(spec)
    return Histogram(name, text, labels, buckets=buckets)


def _observed(name: str, text: str, labels: Sequence[str] = (), **values: tuple[str, ...]) -> Spec:
    """Declare a gauge that no process keeps: the scrape itself observes it."""
    spec = Spec(_section, name, "gauge", text, tuple(labels), values, kept=False)
    CATALOGUE.append(spec)
    return spec


def _dramatiq(name: str, kind: Kind, text: str) -> None:
    FOREIGN.append(Spec(_section, name, kind, text, ("queue_name", "actor_name")))


INPUT_ENCODINGS = ("multipart", "raw", "json", "text", "urlencoded", "query", "frame")
CACHE_RESULTS = ("hit", "miss")
LATENCY_RESULTS = ("good", "slow")
OUTCOMES = ("ok", "invalid", "overload", "timeout", "cancelled", "error")
STAGES = ("queue", "decode", "preprocess", "forward", "postprocess")
REJECTIONS = ("overload", "too_large", "unauthorized", "quota", "rate", "invalid")
STREAM_OUTCOMES = ("closed", "lost", "idle", "restart", "refused", "invalid", "error")
FRAME_RESULTS = ("processed", "dropped", "rejected")
EXITS = ("clean", "timeout", "killed", "crash")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
BACKENDS = ("cuda", "openvino-bf16", "openvino-f32", "torchscript")
SIGNALS = ("traces", "errors", "logs")
JOB_OUTCOMES = ("succeeded", "failed", "cancelled", "expired")
QUEUE_STATES = ("ready", "running", "delayed", "dead")
FEATURES = ("brightness", "contrast", "pixels", "length", "non_ascii", "label", "confidence")
AUTH_METHODS = ("password", "refresh", "key", "oidc")
AUTH_OUTCOMES = ("ok", "refused")
AUTH_REFUSAL_REASONS = (
    "missing",
    "malformed",
    "unknown",
    "password",
    "invalid",
    "issuer",
    "expired",
    "revoked",
    "reused",
    "inactive",
    "scope",
)
RATE_SCOPES = ("caller", "address")
UNCHECKED = ("passed", "refused")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other")

# fmt: off
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STAGE_SECONDS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # few: a model has five stages
_AGE_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_BYTES = (1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
_BATCH = (1, 2, 4, 8, 16, 32)
_CONFIDENCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_PIXELS = (1e4, 1e5, 2.5e5, 5e5, 1e6, 2e6, 5e6, 1e7, 2e7, 5e7)
_JOB_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)  # 60: the SLO
_ATTEMPT_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 480.0, 600.0, 1800.0, 3600.0)  # 480: 0.8 of an attempt's default limit
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_COLLECT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

_begin("HTTP")
HTTP_REQUESTS = _counter("http_requests_total", "Requests answered; probes and scrapes are left out.", ["method", "handler", "status"])
HTTP_DURATION = _histogram("http_request_duration_seconds", "Time from the request's head to the answer's end, where a route answered without a 5xx: fast rejections must not flatter it.", ["method", "handler"], buckets=_SECONDS)
HTTP_IN_PROGRESS = _gauge("http_requests_inprogress", "Requests being answered now.", mode="livesum")
HTTP_LOST = _counter("http_requests_lost_total", "Requests and open streams that died with a killed, silent or crashed worker; counted in the arbiter.")
HTTP_REJECTED = _counter("http_requests_rejected_total", "Requests rejected before a prediction, by reason.", ["reason"], reason=REJECTIONS)
HTTP_BODY_BYTES = _histogram("http_request_body_bytes", "Size of request bodies as received.", ["handler"], buckets=_BYTES)

_begin("Inference")
INFERENCE_REQUESTS = _counter("inference_requests_total", "Predictions asked for, by how they ended.", ["model", "outcome"], outcome=OUTCOMES)
INFERENCE_INPUTS = _counter("inference_inputs_total", "Predictions and jobs whose inputs could be read, by how they were sent; json: pictures in base64, frame: over a WebSocket.", ["encoding"], encoding=INPUT_ENCODINGS)
INFERENCE_STAGE = _histogram("inference_stage_duration_seconds", "Time of each stage of a prediction; the forward pass is its batch's.", ["model", "stage"], buckets=_STAGE_SECONDS, stage=STAGES)
INFERENCE_BATCH = _histogram("inference_batch_size", "Predictions made in one forward pass.", ["model"], buckets=_BATCH)
INFERENCE_BATCH_FAILURES = _counter("inference_batch_failures_total", "Forward passes for several pictures that failed and were run again one by one.", ["model"])
INFERENCE_QUEUE_DEPTH = _gauge("inference_queue_depth", "Slots held: predictions that are uploading, waiting or running.", ["model"], mode="livesum")
INFERENCE_QUEUE_LIMIT = _gauge("inference_queue_limit", "Predictions that may be admitted at a time, over all workers.", ["model"], mode="livesum")
INFERENCE_PREDICTIONS = _counter("inference_predictions_total", "Predictions by label: the first 50 labels seen, the rest as `other`.", ["model", "label"])
INFERENCE_CONFIDENCE = _histogram("inference_confidence", "Probability of the most likely label.", ["model"], buckets=_CONFIDENCE)
INFERENCE_PIXELS = _histogram("inference_input_pixels", "Width times height of the images as sent.", ["model"], buckets=_PIXELS)
SLO_LATENCY = _counter("slo_latency_total", "Predictions answered with 2xx, by whether the time from the request's head to the answer was within the model's model_slo_seconds.", ["model", "result"], result=LATENCY_RESULTS)
MODEL_SLO_SECONDS = _gauge("model_slo_seconds", "Time within which a prediction of the model counts as good in slo_latency_total.", ["model"], mode="livemax")
INFERENCE_CACHE = _counter("inference_cache_total", "Predictions looked up among the kept results, where RESULT_CACHE is on.", ["model", "result"], result=CACHE_RESULTS)
MODEL_INFO = _gauge("model_info", "1 for each model that is served, with what serves it.", ["model", "version", "backend", "weights"], mode="livemax")
MODEL_LOADED = _gauge("model_loaded", "1 where every worker has the model's weights, 0 where one has not.", ["model"], mode="livemin")
BACKEND_FAILURES = _counter("model_backend_failures_total", "Backends that were passed over as they broke or gave other answers than torch.", ["model", "backend"], backend=BACKENDS)
MODEL_LOAD_SECONDS = _gauge("model_load_duration_seconds", "Time that loading took in the slowest worker.", ["model"], mode="livemax")
MODEL_LOAD_FAILURES = _counter("model_load_failures_total", "Loads that failed.", ["model"])
DRIFT_PSI = _observed("drift_psi", "How far the last predictions are from the model's baseline: population stability index, above 0.25 it is read as drift.", ["model", "feature"], feature=FEATURES)
DRIFT_SAMPLES = _observed("drift_window_samples", "Predictions that drift_psi was computed from, over all workers.", ["model"])

_begin("Live streams")
STREAMS_ACTIVE = _gauge("websocket_connections_active", "Sessions of live streams that are open.", mode="livesum")
STREAMS = _counter("websocket_connections_total", "Sessions of live streams that ended, by how; refused: no place was free, or the query or the caller is not valid.", ["model", "outcome"], outcome=STREAM_OUTCOMES)
STREAM_FRAMES = _counter("websocket_frames_total", "Frames received, by what became of them; dropped: a newer one replaced them, or the session ended; rejected: answered with a problem.", ["model", "result"], result=FRAME_RESULTS)
STREAM_FRAME_AGE = _histogram("websocket_frame_age_seconds", "Time from a frame's arrival to its answer.", ["model"], buckets=_AGE_SECONDS)

_begin("Accounts, where AUTH=keys")
AUTH_ATTEMPTS = _counter("auth_attempts_total", "Sign-ins, renewals of tokens and first uses of API keys, by outcome; a key counts again when its cached record lapses.", ["method", "outcome"], method=AUTH_METHODS, outcome=AUTH_OUTCOMES)
AUTH_REFUSALS = _counter("auth_refusals_total", "Requests refused because of who sent them; reused: a refresh token came twice, so all of its family are revoked; scope: the right is missing.", ["reason"], reason=AUTH_REFUSAL_REASONS)
QUOTA_REFUSALS = _counter("quota_refusals_total", "Requests refused because the user's predictions of the month are used up.")
RATE_LIMIT_REFUSALS = _counter("rate_limit_refusals_total", "Requests refused because the caller or its address sends too many.", ["scope"], scope=RATE_SCOPES)
RATE_LIMIT_UNCHECKED = _counter("rate_limit_unchecked_total", "Requests that the store of the rates did not answer for, by what LIMITS_FAIL made of them.", ["decision"], decision=UNCHECKED)
LIMIT_STORE_UP = _observed("limit_store_up", "1 where the store of the rates answers.")

_begin("Readiness, as the API sees it at each scrape")
READINESS_UP = _observed("readiness_check_up", "1 where what readiness depends on is there: database, storage, broker, and model:NAME in every worker.", ["check"])
READINESS_SECONDS = _observed("readiness_check_duration_seconds", "Time that the check of a dependency took; 2 s at most, whether it answers or not.", ["check"])

_begin("Jobs")
JOBS_ENQUEUED = _counter("jobs_enqueued_total", "Messages sent for jobs; a job with several attempts has several.", ["model"])
JOBS = _counter("jobs_total", "Jobs that ended, by how; expired: they ran for longer than a job may.", ["model", "outcome"], outcome=JOB_OUTCOMES)
JOBS_WAIT = _histogram("jobs_wait_seconds", "Time from a job's acceptance to its first attempt.", ["model"], buckets=_JOB_SECONDS)
JOBS_DURATION = _histogram("jobs_duration_seconds", "Time of one attempt of a job, however it ended.", ["model"], buckets=_ATTEMPT_SECONDS)
JOBS_RETRIES = _counter("jobs_retries_total", "Attempts of a job after its first.", ["model"])
JOBS_DEAD_LETTERS = _counter("jobs_dead_letters_total", "Jobs that failed after all their attempts: `python -m project jobs retry`.", ["model"])
JOBS_QUEUE_MESSAGES = _observed("jobs_queue_messages", "Messages in the broker, as it counts them; dead: rejected messages.", ["queue", "state"], state=QUEUE_STATES)
JOBS_OLDEST_AGE = _observed("jobs_oldest_message_age_seconds", "How long the first message in the queue has waited; 0 where there is none.", ["queue"])
JOBS_BROKER_UP = _observed("jobs_broker_up", "1 where the broker answers.")
JOBS_TIME_LIMIT = _observed("jobs_time_limit_seconds", "JOB_SECONDS: a job that runs longer fails.")

_begin("Jobs, by Dramatiq itself")
_dramatiq("dramatiq_messages_total", "counter", "Messages processed.")
_dramatiq("dramatiq_message_errors_total", "counter", "Messages whose processing raised.")
_dramatiq("dramatiq_message_retries_total", "counter", "Messages that Dramatiq sent again; our jobs are sent again by ourselves.")
_dramatiq("dramatiq_message_rejects_total", "counter", "Messages that became dead letters.")
_dramatiq("dramatiq_messages_inprogress", "gauge", "Messages being processed.")
_dramatiq("dramatiq_message_duration_milliseconds", "histogram", "Time of processing a message.")

_begin("Processes and the telemetry itself")
WORKER_MEMORY = _gauge("process_worker_resident_memory_bytes", "Resident memory of all workers.", mode="livesum")
WORKER_MEMORY_MAX = _gauge("process_worker_resident_memory_max_bytes", "Resident memory of the largest worker.", mode="livemax")
MEMORY_LIMIT = _gauge("process_memory_limit_bytes", "What all processes together may use: the container's limit, else the machine's memory.", mode="livemax")
WORKER_CPU = _counter("process_worker_cpu_seconds_total", "Processor time of all workers, user and system.")
WORKER_THREADS = _gauge("process_worker_threads", "Threads of all workers.", mode="livesum")
LOOP_LAG = _histogram("event_loop_lag_seconds", "How much later than asked a timer fired.", buckets=_LAG_SECONDS)
WORKERS = _gauge("server_workers", "Workers that are serving.", mode="livesum")
WORKERS_EXPECTED = _gauge("server_workers_expected", "Workers that should be serving.", mode="livemax")
WORKER_EXITS = _counter("server_worker_exits_total", "Workers that ended, by reason; counted in the arbiter.", ["reason"], reason=EXITS)
MULTIPROC_FILES = _gauge("metrics_multiproc_files", "Metric files that the last scrapes read, at most.", mode="livemax")
COLLECT_SECONDS = _histogram("metrics_collect_duration_seconds", "Time to merge all workers' metrics for a scrape.", buckets=_COLLECT_SECONDS)
LOG_MESSAGES = _counter("log_messages_total", "Log lines written.", ["level"], level=LEVELS)
TELEMETRY_DROPPED = _counter("telemetry_dropped_total", "Spans, error reports and lines for LOG_FILE that could not be delivered.", ["signal"], signal=SIGNALS)
APP_INFO = _gauge("app_info", "1, with what runs.", ["version", "revision"], mode="livemax")
# fmt: on


def observed(spec: Spec, value: float | None = None) -> GaugeMetricFamily:
    """Return the family of an observed gauge. value: of a gauge without labels."""
    if spec.labels:
        return GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
    return GaugeMetricFamily(spec.name, spec.help, value=value)


# Of predictions that a client waits for. Job workers predict one by one and leave them out: the
# stages of a job are in its row, and its duration is in `jobs_duration_seconds`.
AT_ONCE_ALONE = frozenset(
    {
        "inference_stage_duration_seconds",
        "inference_batch_size",
        "inference_batch_failures",
        "inference_confidence",
        "inference_queue_depth",
        "inference_queue_limit",
        "inference_input_pixels",
        "inference_cache",
        "inference_inputs",
    }
)

# Dramatiq's own histogram has 19 buckets for each queue; `jobs_duration_seconds` is the fine one.
BOUNDS_OF_WORKERS = {
    "dramatiq_message_duration_milliseconds": frozenset(
        {"100.0", "500.0", "2500.0", "10000.0", "60000.0", "600000.0", "+Inf"}
    )
}


def exposed() -> list[Spec]:
    """Return all metrics that a scrape of the API or of the workers may have."""
    return [*CATALOGUE, *FOREIGN]


def gauge_modes() -> list[str]:
    """Return the multiprocess modes of the gauges; each mode has files of its own."""
    return sorted({spec.mode for spec in CATALOGUE if spec.mode})


def declare(
    models: Iterable[str] = (),
    jobs: Iterable[str] = (),
    slo_seconds: Mapping[str, float] = MappingProxyType({}),
    streams: Iterable[str] = (),
    attempts: Iterable[str] = (),
    *,
    accounts: bool = False,
) -> None:
    """Create the series of the closed label sets with 0; call it once in each process.

    models: those that predict here. jobs: those whose jobs this process accepts or runs.
    slo_seconds: of each model whose predictions are answered here, the time that counts as good.
    streams: of models that are served as live streams here. attempts: of those whose jobs run here.
    accounts: whether callers are authenticated here.
    """
    for metric, values in (
        (HTTP_REJECTED, REJECTIONS),
        (INFERENCE_INPUTS, INPUT_ENCODINGS),
        (LOG_MESSAGES, LEVELS),
        (TELEMETRY_DROPPED, SIGNALS),
        (WORKER_EXITS, EXITS),
    ):
        for value in values:
            metric.labels(value)
    if accounts:
        _declare_accounts()
    for model in models:
        _declare_model(model)
    for model in jobs:
        _declare_jobs(model)
    for model in streams:
        _declare_streams(model)
    for model in attempts:
        for attempt in (JOBS_WAIT, JOBS_DURATION):
            attempt.labels(model)
    for model, seconds in slo_seconds.items():
        _declare_objective(model, seconds)


def _declare_objective(model: str, seconds: float) -> None:
    MODEL_SLO_SECONDS.labels(model).set(seconds)
    for result in LATENCY_RESULTS:
        SLO_LATENCY.labels(model, result)


def _declare_accounts() -> None:
    for method in AUTH_METHODS:
        for outcome in AUTH_OUTCOMES:
            AUTH_ATTEMPTS.labels(method, outcome)
    for reason in AUTH_REFUSAL_REASONS:
        AUTH_REFUSALS.labels(reason)
    for scope in RATE_SCOPES:
        RATE_LIMIT_REFUSALS.labels(scope)
    for decision in UNCHECKED:
        RATE_LIMIT_UNCHECKED.labels(decision)


def _declare_streams(model: str) -> None:
    for outcome in STREAM_OUTCOMES:
        STREAMS.labels(model, outcome)
    for result in FRAME_RESULTS:
        STREAM_FRAMES.labels(model, result)


def _declare_jobs(model: str) -> None:
    for outcome in JOB_OUTCOMES:
        JOBS.labels(model, outcome)
    for metric in (JOBS_ENQUEUED, JOBS_RETRIES, JOBS_DEAD_LETTERS):
        metric.labels(model)


def _declare_model(model: str) -> None:
    for outcome in OUTCOMES:
        INFERENCE_REQUESTS.labels(model, outcome)
    for result in CACHE_RESULTS:
        INFERENCE_CACHE.labels(model, result)
    for stage in STAGES:
        INFERENCE_STAGE.labels(model, stage)
    for metric in (INFERENCE_BATCH, INFERENCE_PIXELS):  # not every model has a confidence
        metric.labels(model)
    MODEL_LOAD_FAILURES.labels(model)
    for backend in BACKENDS:
        BACKEND_FAILURES.labels(model, backend)
    INFERENCE_BATCH_FAILURES.labels(model)
    INFERENCE_PREDICTIONS.labels(model, "other")
    INFERENCE_QUEUE_DEPTH.labels(model)
