"""Live streams as they are often written: a queue for each socket, which drops when it is full.

The same decoding, preprocessing and net as Vitrine's, in FastAPI's thread pool; one frame of a
session is predicted at a time.
"""

import asyncio
import json
import os
from typing import Any

import torch
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool

from benchmarks.peers.common import READY
from project.inference.backends.selection import prepare_net
from project.inference.encoding import JSON, Encoding
from project.inference.images.decoding import ImageLimits
from project.inference.pipeline import Output, Pipeline
from project.models import create
from project.models.base import BatchModel
from project.models.base.inputs import pictures_of
from project.settings import Settings

QUEUED = 4  # frames of a session

torch.set_num_threads(1)
settings = Settings()
pipelines = {}
for model in create(tuple(os.environ["BENCH_MODELS"].split(","))):
    model.load()
    if isinstance(model, BatchModel):
        prepare_net(model, "auto", streams=2, cache=settings.cache_dir / "backends")
    pipelines[model.name] = Pipeline(model, ImageLimits.of(settings))
app = FastAPI()
print(f"{READY} {', '.join(pipelines)}", flush=True)


def predict(name: str, data: bytes) -> bytes:
    """All steps for one picture."""
    pipeline = pipelines[name]
    (picture, *_) = pictures_of(pipeline.model.inputs)
    item = pipeline.prepare({picture: data}, pipeline.model.params(), Encoding(JSON))
    (output,) = pipeline.forward([item])
    if not isinstance(output, Output):
        raise output
    return output.body


@app.get("/health")
async def health() -> None:
    """Nothing but an answer."""


@app.post("/v1/models/{name}/predictions")
async def predict_request(name: str, request: Request) -> Response:
    """One request beside the streams."""
    body = await request.body()
    return Response(await run_in_threadpool(predict, name, body), media_type=JSON)


@app.websocket("/v1/models/{name}/stream")
async def stream(name: str, socket: WebSocket) -> None:
    """Read into the queue; answer what comes out of it."""
    await socket.accept()
    queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(QUEUED)

    async def answer() -> None:
        while True:
            number, data = await queue.get()
            result: Any = json.loads(await run_in_threadpool(predict, name, data))
            await socket.send_json({"type": "answer", "frame": number, "result": result})

    task = asyncio.create_task(answer())
    number = 0
    try:
        while True:
            data = await socket.receive_bytes()
            number += 1
            if not queue.full():
                queue.put_nowait((number, data))
    except WebSocketDisconnect:
        pass
    finally:
        task.cancel()
