"""A model at module level and a `def` endpoint: predictions run in Starlette's thread pool."""

from typing import Annotated, Any

from fastapi import Body, FastAPI

from benchmarks.peers.common import ready_predictor

predictor = ready_predictor()
app = FastAPI()


@app.post("/predict")
def predict(image: Annotated[bytes, Body(media_type="image/jpeg")]) -> dict[str, Any]:
    """Classify the photo in the body."""
    return predictor.predict(image).model_dump()
