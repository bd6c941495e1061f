"""One model in this process, with the server's own runner: for `predict`, `evaluate` and `drift`.

Importing this module imports NumPy and the runner; see __init__.py.
"""

import asyncio
import math
import sys
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from project import models
from project.api.requests.reader import unique_values, validate
from project.cli.inputs import InputSpec, Item, Pairs, read, read_text
from project.errors import ConfigurationError, InvalidInput, ModelFailed
from project.inference.drift.monitor import DriftMonitor
from project.inference.encoding import Encoding, media_types
from project.inference.executor import Report
from project.inference.model_queue import Prediction
from project.inference.runner import Runner, RunnerOptions
from project.models.base import AnyModel
from project.models.base.inputs import fields_of, texts_of
from project.observability.logging import configure_logging
from project.settings import Settings

Values = Mapping[str, Any]  # the parameters of a command, by name


def local_settings(settings: Settings, log_level: str = "WARNING") -> Settings:
    """The settings of a command: without what servers share, and without cached results."""
    alone = {"log_level": log_level, "prometheus_multiproc_dir": None, "result_cache": "off"}
    return settings.model_copy(update=alone)


def find_model(settings: Settings, name: str) -> AnyModel:
    """The model of that name, not loaded. Raises ConfigurationError.

    Where its file cannot be imported, the traceback is printed: the reader is its author.
    """
    try:
        (model,) = models.create([name], settings.weights_by_model)
    except ConfigurationError as error:
        if error.__cause__:
            traceback.print_exception(error.__cause__)
        raise
    return model


def takes_of(model: AnyModel) -> list[InputSpec]:
    """The inputs of a model."""
    fields = fields_of(model.inputs).values()
    return [InputSpec(field.name, field.kind, field.required) for field in fields]


def values_of(model: AnyModel, params: Pairs, settings: Settings) -> Values:
    """Name → value of the parameters of a command. Raises InvalidInput where one is wrong."""
    values = unique_values(list(params), model.params)
    try:
        _validate(model, {}, values, settings)
    except InvalidInput as error:
        if not error.fields.keys() <= set(texts_of(model.inputs)):  # those are not known yet
            raise
    return values


def _validate(model: AnyModel, raw: Mapping[str, Any], values: Values, settings: Settings) -> Any:
    """As the API validates a request."""
    pictures = {name: data for name, data in raw.items() if isinstance(data, bytes)}
    texts = {name: data for name, data in raw.items() if isinstance(data, str)}
    takes_quality = len(media_types(model)) > 1
    length = settings.max_text_length
    merged = {**values, **texts}
    return validate(model, pictures, merged, max_text_length=length, takes_quality=takes_quality)


class LocalModel:
    """A loaded model. concurrency: how many predictions at a time keep its threads busy."""

    def __init__(
        self, model: AnyModel, runner: Runner, settings: Settings, concurrency: int
    ) -> None:
        self.model = model
        self.concurrency = concurrency
        self._runner = runner
        self._settings = settings
        self._texts = set(texts_of(model.inputs))
        self._shown: set[tuple[object, ...]] = set()

    async def predict(
        self,
        item: Item,
        values: Values,
        media_type: str | None = None,
        report: Report | None = None,
    ) -> Prediction:
        """Predict for one item. media_type: of the body; None for the usual one.

        Raises ProjectError. What the model itself raised is printed, each place in its code once.
        """
        raw = await asyncio.to_thread(self._raw, item)
        asked = _validate(self.model, raw, values, self._settings)
        encoding = Encoding(media_type or media_types(self.model)[0], asked.quality)
        try:
            with self._runner.admit(self.model.name) as slot:
                return await slot.predict(asked.raw, asked.params, encoding, report)
        except ModelFailed as error:
            if error.__cause__:
                self._show(error.__cause__)
            raise

    def _raw(self, item: Item) -> dict[str, bytes | str]:
        found: dict[str, bytes | str] = {}
        for name, value in item.inputs.items():
            if isinstance(value, str):
                found[name] = value
            else:
                found[name] = read_text(value) if name in self._texts else read(value)
        return found

    def _show(self, cause: BaseException) -> None:
        place = traceback.extract_tb(cause.__traceback__)[-1:]
        key = (type(cause), *((frame.filename, frame.lineno) for frame in place))
        if key not in self._shown:
            self._shown.add(key)
            traceback.print_exception(cause, file=sys.stderr)


@asynccontextmanager
async def loaded(model: AnyModel, settings: Settings) -> AsyncIterator[LocalModel]:
    """Load a model. settings: see local_settings. Raises ConfigurationError where that fails."""
    configure_logging(settings, to_stderr=True)
    options = replace(
        RunnerOptions.of(settings),
        deadline_seconds=None,
        queue_seconds=math.inf,
        batch=settings.inference_batch or 1,  # the fastest is not worth measuring
        warm_up_steps=False,
    )
    async with Runner([model], options, drift=DriftMonitor.of(settings)) as runner:
        if failure := runner.queues[model.name].failure:  # the log has the traceback
            raise ConfigurationError(f"{model.name} cannot be loaded: {failure}")
        yield LocalModel(model, runner, settings, concurrency=2 * options.streams)
