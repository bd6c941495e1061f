"""What is compared: how each server is started, told the mode, and asked for a prediction."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import Post
from benchmarks.paths import CORES, PHOTO, ROOT, VAR, environment
from benchmarks.processes import Answer, NotRunnable, Server, ask, free_port, running
from benchmarks.venvs import python_of

PEERS = Path(__file__).parent / "peers"
MODES = ("compiled", "eager")
PRODUCT = "vitrine"
PATH = "/v1/models/classification/predictions"
BOUNDARY = "photo"
BACKENDS = {"compiled": "auto", "eager": "torch"}
OK = 200


@dataclass(frozen=True)
class Peer:
    """Another server. command: `{python}` and `{port}` are put in place.

    streams: forward passes that one of its processes makes at a time.
    form_field: the form's field for the photo, where no raw body is taken.
    """

    name: str
    folder: str
    command: tuple[str, ...]
    holders: int = CORES
    streams: int = 1
    form_field: str | None = None
    path: str = "/predict"
    variables: dict[str, str] = field(default_factory=dict)


def _uvicorn(app: str) -> tuple[str, ...]:
    quiet = ("--no-access-log", "--log-level", "warning")
    at = ("--host", "127.0.0.1", "--port", "{port}", "--workers", str(CORES))
    return ("{python}", "-m", "uvicorn", f"benchmarks.peers.fastapi.{app}:app", *at, *quiet)


def _bentoml(service: str) -> tuple[str, ...]:
    target = f"benchmarks.peers.bentoml.service:{service}"
    return ("{python}", "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "-p", "{port}")


_LITSERVE = ("{python}", "-m", "benchmarks.peers.litserve.server")
_MOSEC = (
    *("{python}", "-m", "benchmarks.peers.mosec.server", "--address", "127.0.0.1"),
    *("--port", "{port}", "--timeout", "30000", "--log-level", "warning"),
)
_BENTO_VARIABLES = {"BENTOML_HOME": str(VAR / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}

PEER_LIST = (
    Peer("fastapi-async", "fastapi", _uvicorn("async_app")),
    Peer("fastapi-def", "fastapi", _uvicorn("def_app"), streams=CORES),
    Peer("litserve", "litserve", _LITSERVE),
    Peer("litserve-batching", "litserve", (*_LITSERVE, "batching")),
    Peer("bentoml", "bentoml", _bentoml("Single"), variables=_BENTO_VARIABLES),
    Peer(
        *("bentoml-batching", "bentoml", _bentoml("Batching")),
        form_field="images",
        variables=_BENTO_VARIABLES,
    ),
    Peer("mosec", "mosec", _MOSEC, path="/inference"),
    Peer("mosec-batching", "mosec", (*_MOSEC, "batching"), holders=2 * CORES, path="/inference"),
)
NAMES = (PRODUCT, *(peer.name for peer in PEER_LIST))


def photo_post(path: str = PATH, form_field: str | None = None) -> Post:
    """The request for a prediction of the photo, as a raw body or as a form."""
    body = PHOTO.read_bytes()
    if form_field is None:
        return Post(path, body, "image/jpeg")
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{form_field}"; '
        'filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    form = head.encode() + body + f"\r\n--{BOUNDARY}--\r\n".encode()
    return Post(path, form, f"multipart/form-data; boundary={BOUNDARY}")


@contextmanager
def product(
    name: str = PRODUCT, command: tuple[str, ...] = ("api",), **settings: object
) -> Iterator[Server]:
    """The product as shipped, ready with every worker.

    command: what prestart.sh is to start. settings: by the names of their variables.
    """
    port = free_port()
    variables = {
        "LOG_FORMAT": "json",
        "PROMETHEUS_MULTIPROC_DIR": VAR / "metrics" / name,
        "RESULT_CACHE": "off",  # the same photo comes again and again; each is to be predicted
    }
    with running(
        [str(ROOT / "prestart.sh"), *command],
        port=port,
        variables=environment(PORT=port, **variables, **settings),
        name=name,
        ready=_ready_product,
    ) as server:
        yield server


def _ready_product(server: Server) -> bool:
    """/ready is green and each worker has said that it is ready; how many there are is its own."""
    workers = len(server.workers())
    said = server.log().count("worker_ready")
    return 0 < workers <= said and ask(server.port, "GET", "/ready").status == OK


@contextmanager
def serving(name: str, mode: str) -> Iterator[tuple[Server, Post]]:
    """A subject that is ready, and what to send it. Raises NotRunnable."""
    if name == PRODUCT:
        with product(f"{name}-{mode}", INFERENCE_BACKEND=BACKENDS[mode]) as server:
            yield server, photo_post()
        return
    peer = next(item for item in PEER_LIST if item.name == name)
    python = python_of(peer.folder, PEERS / peer.folder / "requirements.txt")
    port = free_port()
    post = photo_post(peer.path, peer.form_field)
    command = [part.format(python=python, port=port) for part in peer.command]
    variables = environment(
        PORT=port,
        BENCH_WORKERS=CORES,
        BENCH_MODE=mode,
        BENCH_STREAMS=peer.streams,
        **peer.variables,
    )
    with running(
        command,
        port=port,
        variables=variables,
        name=f"{name}-{mode}",
        ready=_ready(peer, post),
    ) as server:
        yield server, post


def _ready(peer: Peer, post: Post) -> Callable[[Server], bool]:
    """Every process that holds the model has said so, and the photo is answered."""

    def ready(server: Server) -> bool:
        if server.log().count("model_ready") < peer.holders:
            return False
        return _asked(server, post).status == OK

    return ready


def label_of(server: Server, post: Post) -> str:
    """The first class that a subject finds. Raises NotRunnable where it gives none."""
    answer = _asked(server, post)
    try:
        found = json.loads(answer.body)
        result = found[0] if isinstance(found, list) else found
        return str(result["classes"][0]["label"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise NotRunnable(f"it answered {answer.status}: {answer.body[:100]!r}") from error


def _asked(server: Server, post: Post) -> Answer:
    headers = {"Content-Type": post.content_type}
    return ask(server.port, "POST", post.path, post.body, headers)
