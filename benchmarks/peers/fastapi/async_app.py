"""A model at module level and an `async def` endpoint: predictions run on the event loop."""

from typing import Any

from fastapi import FastAPI, Request

from benchmarks.peers.common import ready_predictor

predictor = ready_predictor()
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> dict[str, Any]:
    """Classify the photo in the body."""
    return predictor.predict(await request.body()).model_dump()
