"""Hosts the models of a job worker: the same runner as the API's, for one job at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from project.errors import InvalidInput, ModelUnavailable
from project.inference.drift.monitor import DriftMonitor
from project.inference.pipeline import Raw
from project.inference.runner import Runner, RunnerOptions
from project.models.base import AnyModel, BatchModel, Params
from project.models.base.inputs import texts_of
from project.observability import metrics
from project.settings import Settings

Report = Callable[[float], None]


@dataclass(frozen=True)
class Output:
    """An encoded result. seconds: stage → seconds."""

    data: bytes
    media_type: str
    seconds: dict[str, float] = field(default_factory=dict)


class ModelHost:
    """Loads the models as an async context manager; a failed load is retried in the background."""

    def __init__(self, models: Sequence[AnyModel], settings: Settings) -> None:
        self._models = {model.name: model for model in models}
        options = replace(
            RunnerOptions.of(settings),
            streams=1,
            guaranteed_streams=1,
            batch=1,
            deadline_seconds=None,  # the time limit of a job holds
            warm_up_steps=False,
        )
        self._runner = Runner(models, options, drift=DriftMonitor.of(settings))

    async def __aenter__(self) -> Self:
        """Load every model, off the event loop."""
        metrics.declare(jobs=self._models)
        await self._runner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Cancel the retries and stop the runner."""
        await self._runner.__aexit__(kind, error, trace)

    async def work(
        self, name: str, inputs: Mapping[str, bytes], params: dict[str, Any], report: Report
    ) -> Output:
        """Do a job's work. inputs: name → the bytes of a file.

        report: called between two steps, in their thread, with the fraction done (0 to 1); an
        exception of it ends the attempt.
        Raises the model's InvalidInput or ModelFailed, ModelUnavailable where this worker does not
        have the model or has not loaded it, and whatever `report` raises.
        """
        model = self._models.get(name)
        if model is None:
            raise ModelUnavailable(
                f"model {name} is not loaded on this worker; the job is tried again"
            )
        values, raw = _validated(model, params), _raw(model, inputs)
        in_batches = isinstance(model, BatchModel)
        with self._runner.admit(name) as slot:
            if in_batches:
                report(0.0)
            prediction = await slot.predict(raw, values, report=report)
            if in_batches:
                report(1.0)
        return Output(prediction.body, prediction.media_type, prediction.seconds)


def _raw(model: AnyModel, inputs: Mapping[str, bytes]) -> Raw:
    """The pictures as they are, the texts decoded."""
    texts = texts_of(model.inputs)
    return {name: data.decode() if name in texts else data for name, data in inputs.items()}


def _validated(model: AnyModel, params: dict[str, Any]) -> Params:
    """Validate the parameters, which another release may have accepted. Raises InvalidInput."""
    try:
        return model.params.model_validate(params)
    except ValidationError as error:
        raise InvalidInput(
            f"this release of {model.name} takes other parameters than the job was sent with: "
            "send it again"
        ) from error
