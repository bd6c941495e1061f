"""Predicts labelled samples, and draws the worst mistakes."""

import asyncio
import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from project.cli.evaluation.labels import nearest, resolve
from project.cli.evaluation.samples import Sample
from project.cli.evaluation.scores import Scores
from project.cli.inputs import Item, read
from project.cli.item_tasks import for_each
from project.cli.local_model import LocalModel, Values, loaded
from project.cli.progress import Bar
from project.errors import ConfigurationError, ProjectError
from project.inference.images.decoding import ImageLimits, decode
from project.inference.runner import top_prediction_of
from project.models.base import AnyModel, Boxes, Classes, Label, Model
from project.models.base.results import NOTHING
from project.settings import Settings

MAX_MISTAKES = 24  # on the page
SIDE = 240  # pixels of a picture on the page
PNG = "image/png"


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicted samples."""

    model: AnyModel
    scores: Scores
    samples: Sequence[Sample]

    @property
    def mistakes(self) -> list[Sample]:
        """Samples that were predicted as something else, the most confident first."""
        wrong = (sample for sample in self.samples if sample.is_wrong)
        return sorted(wrong, key=lambda sample: -(sample.confidence or 0))

    @property
    def left_out(self) -> list[Sample]:
        """Samples that were not predicted: their item has the reason."""
        return [sample for sample in self.samples if sample.predicted is None]


def check_model(model: AnyModel) -> None:
    """Raise ConfigurationError where the results of a model have no label to compare."""
    has_own = type(model).top_prediction is not Model.top_prediction
    if not has_own and not issubclass(model.result, Boxes | Classes | Label):
        raise ConfigurationError(
            f"the results of {model.name} have no label to compare; "
            "write top_prediction, or return Classes, Label or Boxes"
        )


async def evaluate(
    settings: Settings, model: AnyModel, samples: Sequence[Sample], values: Values
) -> tuple[Evaluation, list[str]]:
    """Predict all samples. values: the parameters. Returns also the pictures of the page.

    These are data URLs, one for each of the first MAX_MISTAKES mistakes, empty for a text. Raises
    ConfigurationError where a label is unknown, the model cannot be loaded or no sample be read.
    """
    by_item = {id(sample.item): sample for sample in samples}
    with Bar(model.name, len(samples)) as bar:
        async with loaded(model, settings) as local:
            _rename(model, samples)
            truths = {sample.truth for sample in samples}

            async def process(item: Item) -> None:
                with bar.item(item):
                    prediction = await local.predict(item, values)
                found = top_prediction_of(model, prediction.result)
                if found is None:
                    item.failure = "its result has no label"
                    return
                sample = by_item[id(item)]
                label, sample.confidence = found
                sample.predicted = label if model.labels else nearest(label, truths)

            await for_each([sample.item for sample in samples], local.concurrency, process)
            pairs = [(it.truth, it.predicted) for it in samples if it.predicted is not None]
            if not pairs:
                raise ConfigurationError(
                    f"none of {len(samples)} samples was predicted; {samples[0].name}: "
                    f"{samples[0].item.failure}"
                )
            evaluation = Evaluation(model, Scores.of(pairs, model.labels), samples)
            shown = evaluation.mistakes[:MAX_MISTAKES]
            return evaluation, [await _picture(local, it.item, values, settings) for it in shown]


def _rename(model: AnyModel, samples: Sequence[Sample]) -> None:
    """Have each sample carry the model's own name of its label, where these are a closed set."""
    if not model.labels:
        return
    more = [NOTHING] if issubclass(model.result, Boxes) else []
    names = resolve({sample.truth for sample in samples}, [*model.labels, *more])
    for sample in samples:
        sample.truth = names[sample.truth]


async def _picture(local: LocalModel, item: Item, values: Values, settings: Settings) -> str:
    """A sample as a small picture in a data URL, with what was found drawn on it; or nothing."""
    if item.path is None:
        return ""
    try:
        if local.model.can_draw():
            data = (await local.predict(item, values, PNG)).body
        else:
            data = await asyncio.to_thread(read, item.path)
        return await asyncio.to_thread(thumbnail, data, ImageLimits.of(settings))
    except ProjectError:  # a text, or a file that has gone meanwhile
        return ""


def thumbnail(data: bytes, limits: ImageLimits) -> str:
    """Scale a picture down to SIDE, as the data URL of a JPEG. Raises InvalidImage."""
    image: Image.Image = decode(data, limits, SIDE).image
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
