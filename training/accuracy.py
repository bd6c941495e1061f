"""Accuracy of the demo on held-out pairs: how often it draws what the prompt names."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

from PIL import Image

from project.models.text_to_image import Prompt, TextToImage
from training.emoji_names import things
from training.prompts import Prompts
from training.recognise import Recogniser

ASKED = "a {thing} on {colour}", "{thing}, {colour} background", "{thing} on a {colour} background"


def measure(report: Path) -> None:
    """Draw every held-out pair with each phrasing, by the model's own interface; write JSON."""
    model = TextToImage("text_to_image")
    model.load()
    recogniser = Recogniser()
    pairs = sorted(Prompts(things(), seed=0).held_out)
    right = {"thing": 0, "colour": 0, "both": 0}
    wrong = []
    for seed, (thing, colour) in enumerate(pairs):
        for asked in ASKED:
            prompt = asked.format(thing=thing, colour=colour)
            seen = recogniser.see(returned(model.steps({}, Prompt(prompt=prompt, seed=seed))))
            right["thing"] += seen.thing == thing
            right["colour"] += seen.colour == colour
            right["both"] += (seen.thing, seen.colour) == (thing, colour)
            if (seen.thing, seen.colour) != (thing, colour):
                wrong.append(f"{prompt} (seed {seed}): {seen.thing}, {seen.colour}")
    result = {
        "command": "python -m training.text_to_image --measure",
        "held_out_pairs": len(pairs),
        "pictures": len(pairs) * len(ASKED),
        "right": right,
        "wrong": wrong,
    }
    report.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def returned(steps: Generator[float, None, Image.Image]) -> Any:
    """The model's final result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
