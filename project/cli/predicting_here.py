"""`predict` in this process: the results and pictures of a model that is loaded for them."""

import json
from functools import partial

from PIL import Image

from project.cli.inputs import Item
from project.cli.item_tasks import for_each
from project.cli.local_model import find_model, loaded, local_settings, takes_of, values_of
from project.cli.predicting import Command
from project.cli.progress import Bar
from project.cli.saving import make_folder
from project.settings import Settings


async def predict_here(settings: Settings, command: Command, items: list[Item]) -> None:
    """Predict for all items of a command. items: gets them, with their results.

    Raises ProjectError for what is wrong with the command, or where the model cannot be loaded.
    """
    settings = local_settings(settings)
    model = find_model(settings, command.model)
    values = values_of(model, command.params, settings)
    items.extend(command.items(takes_of(model)))
    is_picture = issubclass(model.result, Image.Image)
    target = command.target(len(items), is_picture=is_picture, can_draw=model.can_draw())
    if target:
        make_folder(target.folder)
    media_type = target.media_type if target else None
    with Bar(model.name, len(items)) as bar:
        async with loaded(model, settings) as local:

            async def process(item: Item) -> None:
                with bar.item(item):
                    report = partial(bar.show, item)
                    prediction = await local.predict(item, values, media_type, report)
                    if target:
                        await target.save(item, prediction.body)
                    if target is None:
                        item.result = json.loads(prediction.body)  # as a client reads it
                    elif not is_picture:
                        item.result = prediction.result.model_dump(mode="json")

            await for_each(items, local.concurrency, process)
