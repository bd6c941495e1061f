"""The models of a job worker: quick ones through the runner, as in the API, long ones here."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from project.errors import InvalidInput, ModelUnavailable
from project.inference.images.decoding import ImageLimits
from project.inference.loading import load, load_until_there
from project.jobs.steps import Output, encode, run_steps
from project.jobs.threads import in_thread
from project.models.base import AnyModel, LongModel, Model, Params
from project.observability import metrics
from project.settings import Settings

if TYPE_CHECKING:
    from project.inference.runner import Runner

Check = Callable[[float], None]


class JobModels:
    """Loads them as an async context manager; one that fails is tried again in the background."""

    def __init__(self, models: Sequence[AnyModel], settings: Settings) -> None:
        self._models = {model.name: model for model in models}
        self._limits = ImageLimits.of(settings)
        self._runner = _runner([model for model in models if isinstance(model, Model)], settings)
        self._failures: dict[str, str | None] = {}
        self._retries: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Load every model, off the event loop."""
        metrics.declare(jobs=self._models)
        if self._runner:
            await self._runner.__aenter__()
        for model in self._models.values():
            if not isinstance(model, LongModel):
                continue
            attempt = partial(self._load, model)
            if await asyncio.to_thread(attempt):
                self._retries.append(asyncio.create_task(load_until_there(attempt)))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop what runs in the background."""
        for task in self._retries:
            task.cancel()
        if self._runner:
            await self._runner.__aexit__()

    def _load(self, model: LongModel[Any, Any]) -> str | None:
        self._failures[model.name] = failure = load(model, dict)
        return failure

    async def work(
        self, name: str, images: Mapping[str, bytes], params: dict[str, Any], check: Check
    ) -> Output:
        """Do a job's work. check: see `walk`.

        Raises what the model raises of InvalidInput, ModelFailed, ModelUnavailable for one that is
        not here or not loaded, and whatever `check` does.
        """
        model = self._models.get(name)
        if model is None or self._failures.get(name):
            raise ModelUnavailable(f"no worker has {name} ready now; its jobs wait")
        values = _validated(model, params)
        if isinstance(model, LongModel):
            return await in_thread(partial(run_steps, model, self._limits, images, values, check))
        if self._runner is None:
            raise RuntimeError("a quick model without a runner")
        (data,) = images.values()
        check(0.0)
        prediction = await self._runner.predict(name, data, values)
        check(1.0)
        output = encode(prediction.result)
        return Output(output.data, output.media_type, prediction.seconds)


def _runner(models: Sequence[Model[Any, Any]], settings: Settings) -> "Runner | None":
    """What runs quick models, one picture at a time."""
    if not models:
        return None  # and torch, which is slow to import, stays out of the process
    from project.inference.runner import Runner  # noqa: PLC0415

    alone = {"inference_streams": 1, "inference_batch": 1, "result_cache": "off"}
    return Runner(models, settings.model_copy(update=alone))


def _validated(model: AnyModel, params: dict[str, Any]) -> Params:
    """The parameters, which another release may have taken. Raises InvalidInput."""
    try:
        return model.params.model_validate(params)
    except ValidationError as error:
        raise InvalidInput(
            f"this release of {model.name} takes other parameters than the job was sent with: "
            "send it again"
        ) from error
