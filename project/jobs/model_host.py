"""The models of a job worker: quick ones through the runner, as in the API; long ones in steps."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from project.errors import InvalidInput, ModelUnavailable
from project.inference.images.decoding import ImageLimits
from project.inference.loading import load, retry_until_loaded
from project.jobs.steps import Output, encode, in_thread, run_steps
from project.models.base import AnyModel, LongModel, Model, Params
from project.observability import metrics
from project.settings import Settings

if TYPE_CHECKING:
    from project.inference.runner import Runner

Check = Callable[[float], None]


class ModelHost:
    """Loads the models as an async context manager; a failed load is retried in the background."""

    def __init__(self, models: Sequence[AnyModel], settings: Settings) -> None:
        self._models = {model.name: model for model in models}
        self._limits = ImageLimits.of(settings)
        self._runner = _runner([model for model in models if isinstance(model, Model)], settings)
        self._failures: dict[str, str | None] = {}
        self._exit_stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Load every model, off the event loop."""
        metrics.declare(jobs=self._models)
        async with AsyncExitStack() as stack:
            if self._runner:
                await stack.enter_async_context(self._runner)
            for model in self._models.values():
                if not isinstance(model, LongModel):
                    continue
                attempt = partial(self._load, model)
                if await asyncio.to_thread(attempt):
                    stack.callback(asyncio.create_task(retry_until_loaded(attempt)).cancel)
            self._exit_stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel the retries and stop the runner."""
        await self._exit_stack.aclose()

    def _load(self, model: LongModel[Any, Any]) -> str | None:
        self._failures[model.name] = failure = load(model, dict)
        return failure

    async def work(
        self, name: str, images: Mapping[str, bytes], params: dict[str, Any], check: Check
    ) -> Output:
        """Do a job's work. images: name → the bytes of a file. check: see `run_steps`.

        Raises the model's InvalidInput or ModelFailed, ModelUnavailable where this worker does not
        have the model or has not loaded it, and whatever `check` raises.
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
    """A runner of the quick models: one picture at a time, without the result cache."""
    if not models:
        return None  # and torch, which is slow to import, stays out of the process
    from project.inference.drift.monitor import DriftMonitor  # noqa: PLC0415
    from project.inference.runner import Runner, RunnerOptions  # noqa: PLC0415

    options = RunnerOptions.of(settings)
    one_by_one = replace(options, streams=1, guaranteed_streams=1, batch=1)
    return Runner(models, one_by_one, drift=DriftMonitor.of(settings))


def _validated(model: AnyModel, params: dict[str, Any]) -> Params:
    """Validate the parameters, which another release may have accepted. Raises InvalidInput."""
    try:
        return model.params.model_validate(params)
    except ValidationError as error:
        raise InvalidInput(
            f"this release of {model.name} takes other parameters than the job was sent with: "
            "send it again"
        ) from error
