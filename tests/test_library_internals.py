"""Contracts: the private parts of libraries that we use, exercised against the real libraries.

An upgrade that changes one fails here, and the docstring names the file of ours that relies on it.
What Dramatiq stores in Redis is exercised by tests/services/test_queue.py, what Sentry's transport
reports by tests/api/test_sentry.py.
"""

import asyncio
import functools
import io
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from dramatiq import cli
from dramatiq.asyncio import EventLoopThread, get_event_loop_thread, set_event_loop_thread
from dramatiq.common import compute_backoff, dq_name, q_name
from dramatiq.middleware import AsyncIO
from dramatiq.middleware.prometheus import Prometheus
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config as GunicornConfig
from gunicorn.workers.base import Worker
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from PIL import Image
from prometheus_fastapi_instrumentator.middleware import PrometheusInstrumentatorMiddleware
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from project.server import hooks

ROOT = Path(__file__).parent.parent


def in_process(script: str, **env: str) -> str:
    """What a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Uvicorn


class Recorder(HttpToolsProtocol):
    """Notes the callbacks that BoundedProtocol overrides, and what it reads in them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.calls: list[str] = []
        self.lost = asyncio.Event()
        self.seen: dict[str, Any] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.calls.append("made")

    def on_headers_complete(self) -> None:
        self.calls.append("headers")
        self.seen |= {
            "method": self.parser.get_method(),
            "url": self.url,
            "headers": self.headers,
            "version": self.parser.get_http_version(),
            "keep_alive": self.parser.should_keep_alive(),
            "upgrade": self.parser.should_upgrade() and self._should_upgrade(),
            "continue": self.expect_100_continue,
            "port": self.server[1] if self.server else None,
            "idle": self.cycle is None and self.timeout_keep_alive_task is None,
        }
        super().on_headers_complete()
        self.seen["complete at first"] = self.cycle.response_complete

    def on_body(self, body: bytes) -> None:
        self.calls.append("body")
        self.cycle.body += body
        self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        self.calls.append("complete")
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.cycle is not None:
            self.seen |= {
                "complete at last": self.cycle.response_complete,
                "started": self.cycle.response_started,
            }
        self.seen |= {
            "pipeline": list(self.pipeline),
            "paused": self.flow.write_paused,
            "keep-alive timer": callable(self.timeout_keep_alive_handler),
        }
        super().connection_lost(exc)
        self.calls.append("lost")
        self.lost.set()


def served(send: bytes) -> tuple[Recorder, bytes]:
    """The protocol after a connection on which these bytes were sent, and the answer."""
    protocols: list[Recorder] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await PlainTextResponse(body)(scope, receive, send)

    async def serve() -> bytes:
        server = Server(Config(app, lifespan="off", timeout_keep_alive=1))
        server.config.load()
        server.server_state.default_headers = [(b"x-own", b"1")]

        def make() -> Recorder:
            protocols.append(Recorder(server.config, server.server_state, {}))
            return protocols[-1]

        listening = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(send)
        answer = await reader.read()
        writer.close()
        await protocols[0].lost.wait()
        assert protocols[0].seen.get("port", port) == port
        listening.close()
        return answer

    answer = asyncio.run(serve())
    return protocols[0], answer


def test_uvicorn_calls_the_protocol_and_has_the_state_of_a_request():
    """server/protocol.py overrides these callbacks and reads these attributes in them."""
    protocol, answer = served(
        b"POST /things?a=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
    )
    assert protocol.calls == ["made", "headers", "body", "complete", "lost"]
    seen = protocol.seen
    assert (seen["method"], seen["url"], seen["version"]) == (b"POST", b"/things?a=1", "1.1")
    assert (b"content-length", b"2") in seen["headers"]
    assert {seen["keep_alive"], seen["upgrade"], seen["continue"]} == {False}
    assert seen["idle"]
    assert (seen["complete at first"], seen["complete at last"], seen["started"]) == (
        False,
        True,
        True,
    )
    assert (seen["pipeline"], seen["paused"], seen["keep-alive timer"]) == ([], False, True)
    assert answer.startswith(STATUS_LINE[200] + b"x-own: 1\r\n")
    assert answer.endswith(b"hi")


def test_uvicorn_answers_malformed_bytes_by_send_400_response(monkeypatch):
    """server/protocol.py overrides it, so that a rejected request has no second answer."""
    messages: list[str] = []

    def note(protocol: HttpToolsProtocol, msg: str) -> None:
        messages.append(msg)
        protocol.transport.close()

    monkeypatch.setattr(HttpToolsProtocol, "send_400_response", note)
    served(b"nonsense\r\n\r\n")
    assert len(messages) == 1


def test_uvicorn_has_what_the_protocol_of_websockets_overrides():
    """server/websocket.py; what each does is exercised by tests/unit/test_websocket_protocol.py."""
    config = Config(lambda *_: None, ws=WebSocketsSansIOProtocol, log_config=None)
    config.load()

    async def state() -> dict[str, Any]:
        return vars(WebSocketsSansIOProtocol(config, Server(config).server_state, {}))

    attributes = {"logger", "frames", "curr_msg_data_type", "close_sent", "handshake_complete"}
    assert attributes | {"conn", "disconnected", "loop"} <= set(asyncio.run(state()))
    for name in (
        *("connection_lost", "send_receive_event_to_app", "handle_parser_exception", "send"),
        *("keepalive_timeout", "shutdown", "on_task_complete", "handle_ping", "receive"),
    ):
        assert callable(getattr(WebSocketsSansIOProtocol, name))


def test_uvicorn_starts_without_sockets_and_ticks_until_it_should_exit():
    """server/uvicorn_worker.py listens by itself, and drains in on_tick."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        scope["state"]["application"] = "of the lifespan"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    ticks: list[bool] = []

    class Ticking(Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup([])
            assert self.servers == []
            assert self.lifespan.state["application"] == "of the lifespan"
            self.config.encoded_headers.append((b"x-own", b"1"))

        async def on_tick(self, counter: int) -> bool:
            ticks.append(await super().on_tick(counter))
            self.should_exit = True  # as handle_exit does, which Uvicorn raises again at the end
            return ticks[-1]

    async def serve() -> Server:
        server = Ticking(Config(app, lifespan="on", log_level="critical"))
        with socket.socket() as unused:
            await server.serve(sockets=[unused])
        return server

    server = asyncio.run(serve())
    assert ticks == [False, True]
    assert server.started
    assert server.server_state.connections == set()
    assert (b"x-own", b"1") in server.server_state.default_headers


# Gunicorn and its Uvicorn worker


HOOKS = "on_starting on_reload when_ready on_exit pre_fork post_fork child_exit nworkers_changed"


@pytest.mark.parametrize("name", HOOKS.split())
def test_gunicorn_accepts_the_hook(name):
    """server/hooks.py has one function for each, with as many arguments as Gunicorn passes."""
    config = GunicornConfig()
    config.set(name, getattr(hooks, name))  # it checks their number
    assert getattr(config, name) is getattr(hooks, name)


def test_gunicorn_has_what_the_hooks_read_of_arbiter_and_worker():
    """server/hooks.py reads WORKERS and `aborted`, the worker WORKER_BOOT_ERROR and its sockets."""
    assert isinstance(Arbiter.WORKERS, dict)
    assert Arbiter.WORKER_BOOT_ERROR > 0
    config = GunicornConfig()
    worker = Worker(1, 1, ["socket"], None, 30, config, None)
    worker.tmp.close()
    assert worker.aborted is False
    assert worker.sockets == ["socket"]


def test_the_uvicorn_worker_configures_uvicorn_and_runs_serve(monkeypatch):
    """server/uvicorn_worker.py sets CONFIG_KWARGS and overrides _serve and callback_notify."""
    order: list[str] = []

    class Quick(UvicornWorker):
        CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
            "loop": "asyncio",
            "http": HttpToolsProtocol,
            "lifespan": "off",
        }

        async def _serve(self) -> None:
            assert self.config.callback_notify is not None
            await self.config.callback_notify()
            order.append("served")

        async def callback_notify(self) -> None:
            order.append("notified")

    class Log:
        error_log = access_log = logging.getLogger("quiet")

    for name in ("uvicorn.error", "uvicorn.access"):  # it takes their handlers away
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    worker = Quick(1, 1, [], None, 30, GunicornConfig(), Log())
    worker.tmp.close()
    assert worker.config.lifespan == "off"
    worker.run()
    assert order == ["notified", "served"]


# Starlette, FastAPI and the instrumentator


FORM = (
    b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\nbytes\r\n--x--'
)


@contextmanager
def parsed(body: bytes) -> Iterator[tuple[MultiPartParser, list[str]]]:
    """A parser that has read this form, and which callbacks of ours it called."""
    called: list[str] = []

    class Parser(MultiPartParser):
        spool_max_size = sys.maxsize

        def on_end(self) -> None:
            called.append("on_end")

    async def stream() -> Any:
        yield body

    headers = Headers({"content-type": "multipart/form-data; boundary=x"})
    parser = Parser(headers, stream())
    form = asyncio.run(parser.parse())
    yield parser, called
    asyncio.run(form.close())
    for file in parser._files_to_close_on_error:
        file.close()


def test_starlette_calls_on_end_at_the_closing_boundary_alone():
    """api/requests/reader.py takes its absence for a form that is cut off."""
    with parsed(FORM) as (_, called):
        assert called == ["on_end"]
    with parsed(FORM.removesuffix(b"--")) as (_, called):
        assert called == []


def test_starlette_keeps_files_in_memory_and_lists_them():
    """api/requests/reader.py raises spool_max_size, and closes _files_to_close_on_error itself."""
    with parsed(FORM) as (parser, _):
        (file,) = parser._files_to_close_on_error
        assert file._rolled is False  # type: ignore[attr-defined]


def test_fastapi_serves_an_endpoint_as_its_own_handler():
    """api/routes/raw_route.py returns it from get_route_handler; http.py reads the route's path."""

    class Raw(APIRoute):
        def get_route_handler(self) -> Any:
            return self.endpoint

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(request.scope["route"].path)

    app = FastAPI()
    app.router.route_class = Raw
    app.add_api_route("/things/{name}", endpoint, response_model=None)
    assert TestClient(app).get("/things/a").text == "/things/{name}"


def test_the_instrumentator_asks_get_handler_for_each_request():
    """observability/request_context.py remembers its answers for paths without parameters."""
    asked: list[tuple[str, bool]] = []
    counted: list[tuple[str, str]] = []

    class Instrumentator(PrometheusInstrumentatorMiddleware):
        def _get_handler(self, request: Any) -> tuple[str, bool]:
            asked.append(super()._get_handler(request))
            return asked[-1]

    app = FastAPI()
    app.add_middleware(
        Instrumentator,
        should_group_status_codes=False,
        excluded_handlers=["^/quiet$"],
        instrumentations=[
            lambda info: counted.append((info.modified_handler, info.modified_status))
        ],
    )
    app.add_api_route("/things/{name}", lambda name: name)
    app.add_api_route("/quiet", lambda: "")
    client = TestClient(app)
    for path in ("/things/a", "/nothing", "/quiet"):
        client.get(path)
    assert asked == [("/things/{name}", True), ("/nothing", False), ("/quiet", True)]
    assert counted == [("/things/{name}", "200"), ("none", "404")]


# OpenTelemetry and prometheus_client


class Exporter(SpanExporter):
    """Exports what it gets."""

    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def test_opentelemetry_queues_spans_in_a_bounded_deque():
    """observability/tracing.py counts what falls out of it, and what a shutdown leaves in it."""
    processor = BatchSpanProcessor(Exporter(), max_queue_size=4, max_export_batch_size=4)
    queue = processor._batch_processor._queue
    assert queue.maxlen == 4
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    for _ in range(3):
        provider.get_tracer("test").start_span("work").end()
    assert len(queue) == 3  # fewer than a batch, so they wait for seconds
    processor._batch_processor.shutdown(timeout_millis=10_000)
    assert len(queue) == 0


PROMETHEUS = """
import json, os, sys
from pathlib import Path
from prometheus_client import values
folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
assert values.ValueClass._multiprocess
who = "one"
values.ValueClass = values.MultiProcessValue(process_identifier=lambda: who)
from prometheus_client import Counter, Gauge
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
things = Counter("things_total", "Things.")
live = Gauge("live", "Live.", multiprocess_mode="livesum")
things.inc(2); live.set(5)
size = (folder / "counter_one.db").stat().st_size
who = "two"
things.inc(3)
entries = MmapedDict.read_all_values_from_file(folder / "gauge_livesum_one.db")
gauge = [(json.loads(key)[0], value) for key, value, *_ in entries]
mark_process_dead("one", str(folder))
merged = MultiProcessCollector(None, path=str(folder)).collect()
sums = {s.name: s.value for family in merged for s in family.samples}
print(json.dumps([size, gauge, sums["things_total"], sorted(p.name for p in folder.iterdir())]))
"""


def test_prometheus_client_names_files_by_our_identity(tmp_path):
    """observability/multiprocess.py makes such files, and reads and forgets their live gauges."""
    printed = in_process(PROMETHEUS, PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    size, gauge, total, names = json.loads(printed)
    assert size == 1 << 16
    assert gauge == [["live", 5.0]]
    assert total == 5
    assert names == ["counter_one.db", "counter_two.db", "gauge_livesum_two.db"]


def test_prometheus_client_takes_another_class_of_values():
    """benchmarks/bare_server.py replaces it, to serve without metrics."""
    script = (
        "from prometheus_client import values\n"
        "class None_:\n"
        "    _multiprocess = False\n"
        "    def __init__(self, *_, **__): pass\n"
        "    def inc(self, amount): pass\n"
        "    def get(self): return 7.0\n"
        "    def get_exemplar(self): pass\n"
        "values.ValueClass = None_\n"
        "from prometheus_client import Counter, generate_latest\n"
        "Counter('things_total', 'Things.').inc()\n"
        "print(generate_latest().decode())\n"
    )
    assert "things_total 7.0" in in_process(script)


# Dramatiq, OpenVINO and Pillow


def test_dramatiq_runs_coroutines_on_a_loop_that_the_middleware_stops():
    """jobs/worker_process.py starts the thread itself, and leaves its end to AsyncIO."""
    middleware = AsyncIO()
    thread = EventLoopThread(middleware.logger)
    thread.start(timeout=30)
    set_event_loop_thread(thread)

    async def name() -> str:
        return "done"

    work: Coroutine[Any, Any, str] = name()
    assert thread.run_coroutine(work) == "done"
    middleware.after_worker_shutdown(None, None)
    assert get_event_loop_thread() is None
    assert not thread.is_alive()


def test_dramatiq_names_the_loggers_that_its_signal_handlers_use():
    """observability/logging.py keeps what they note out of the log."""
    given = cli.make_argument_parser().parse_args(["module:broker", "--skip-logging"])
    names = {
        cli.setup_parent_logging(given, stream=io.StringIO()).name,
        cli.setup_worker_logging(given, 0, io.StringIO()).name,
    }
    assert names == {"dramatiq.MainProcess", "dramatiq.WorkerProcess(0)"}


def test_dramatiq_makes_its_metrics_at_the_boot_of_a_process():
    """jobs/worker_process.py gives them labels of its queues and actor, and starts no server."""
    script = (
        "from dramatiq.middleware.prometheus import Prometheus\n"
        "class Ours(Prometheus):\n    forks = ()\n"
        "ours = Ours()\nours.after_process_boot(None)\n"
        "for name in ('total_messages', 'total_errored_messages', 'total_retried_messages',\n"
        "             'total_rejected_messages', 'inprogress_messages', 'message_durations'):\n"
        "    getattr(ours, name).labels('queue', 'actor')\n"
        "(metric,) = ours.total_messages.collect()\n"
        "print([(s.labels, s.value) for s in metric.samples if s.name.endswith('_total')])\n"
    )
    labels = {"queue_name": "queue", "actor_name": "actor"}
    assert in_process(script) == f"{[(labels, 0.0)]}\n"
    assert callable(Prometheus.before_delay_message)


def test_dramatiq_names_delayed_queues_and_pauses_as_jobs_consumer_expects():
    """jobs/consumer.py tells the two kinds of queues apart, and pauses as Dramatiq's consumer."""
    assert (q_name(dq_name("shade")), q_name("shade")) == ("shade", "shade")
    assert dq_name("shade") != "shade"
    misses, pause = compute_backoff(0, max_backoff=100)
    assert misses == 1
    assert 0 < pause <= 100
    assert 50 <= compute_backoff(30, max_backoff=100)[1] <= 100


def test_openvino_does_without_its_telemetry():
    """inference/backends/openvino.py hides the module, so that it reports no start."""
    script = (
        "import sys\n"
        "sys.modules['openvino_telemetry'] = None\n"
        "import openvino\n"
        "print(openvino.Core().available_devices)\n"
    )
    assert "CPU" in in_process(script)


@functools.cache
def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_pillow_has_the_tiles_of_an_image_before_it_decodes():
    """inference/images/decoding.py reads codec and number of tiles, and raises decodermaxblock."""
    with Image.open(io.BytesIO(jpeg())) as image:
        (tile,) = image.tile
        assert tile.codec_name == "jpeg"
        assert tile.offset >= 0
        assert image.decodermaxblock > 0
        drafted = image.draft(None, (8, 8))
        assert drafted is not None
        assert image.size == (8, 8)
