"""What a stream's server says: hello, answers, accepted parameters and problems, each as text."""

import json
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from project.api.problems import problem_of, unexpected
from project.errors import Overloaded, ProjectError
from project.inference.frames import Frame
from project.inference.model_queue import Prediction
from project.models.base import AnyModel, Params


@dataclass(frozen=True)
class StreamLimits:
    """Bounds on a session; see the settings of these names."""

    frame_bytes: int
    frames_per_second: float
    idle_seconds: float


def hello(
    session: str | None,
    model: AnyModel,
    frame_input: str | None,
    params: Params,
    limits: StreamLimits,
) -> str:
    """The first message: what is served, and within which limits. session: the request id."""
    return _encode(
        {
            "type": "hello",
            "session": session,
            "model": model.name,
            "version": model.version,
            "frame_input": frame_input,
            "params": params.model_dump(mode="json"),
            "limits": {
                "frame_bytes": limits.frame_bytes,
                "frames_per_second": limits.frames_per_second,
                "idle_seconds": limits.idle_seconds,
            },
        }
    )


def answer(frame: Frame, prediction: Prediction, age: float, dropped: int) -> str:
    """A frame's result. age: seconds since it was received. dropped: since the session began."""
    width, height = prediction.size or (None, None)
    head = _encode(
        {
            "type": "answer",
            "frame": frame.number,
            "age": round(age, 6),
            "seconds": {stage: round(value, 6) for stage, value in prediction.seconds.items()},
            "width": width,
            "height": height,
            "dropped": dropped,
        }
    )
    return f'{head[:-1]},"result":{prediction.body.decode()}}}'  # it is JSON already


def params_accepted(params: Params) -> str:
    """The parameters that later frames are answered with."""
    return _encode({"type": "params", "params": params.model_dump(mode="json")})


def problem(error: Exception, frame: int | None = None) -> str:
    """A problem document (RFC 9457).

    frame: the one that failed; None: the message before, or the close that follows. Any error but
    our own is an internal one.
    """
    response: Response
    response = problem_of(error) if isinstance(error, ProjectError) else unexpected(error)
    document = json.loads(bytes(response.body))
    if isinstance(error, Overloaded):
        document["retry_after"] = error.retry_after
    about = {} if frame is None else {"frame": frame}
    return _encode({"type": "problem", **about, "problem": document})


def _encode(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)
