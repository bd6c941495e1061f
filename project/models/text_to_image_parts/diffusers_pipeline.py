"""Runs any text-to-image pipeline of diffusers, from a folder or the Hugging Face hub, in steps."""

import importlib
import inspect
from collections.abc import Generator
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from PIL import Image

from project.errors import ConfigurationError, InvalidInput
from project.models.base.callback_generator import Report, stepwise
from project.models.base.weights import folder_or_name

SETTING = "TEXT_TO_IMAGE_WEIGHTS"
REQUIREMENTS = "requirements-text-to-image.txt"
REQUIRED = "prompt", "num_inference_steps", "generator", "callback_on_step_end"
WAIT_SECONDS = 1.0  # for another job of this process, between two reports that this one waits


class DiffusersPipeline:
    """One pipeline; it holds the state of a run in itself, so jobs run one at a time."""

    def __init__(self, pipeline: Any, name: str, *, wait_seconds: float = WAIT_SECONDS) -> None:
        """pipeline: called with the parameters of diffusers' text-to-image pipelines.

        wait_seconds: see WAIT_SECONDS. Raises ConfigurationError where it lacks a parameter.
        """
        self.name = name
        self._pipeline = pipeline
        self._wait_seconds = wait_seconds
        self._parameters = set(inspect.signature(pipeline.__call__).parameters)
        missing = [name for name in REQUIRED if name not in self._parameters]
        if missing:
            raise ConfigurationError(
                f"{SETTING}: {type(pipeline).__name__} makes no pictures from text in steps: "
                f"it does not take {', '.join(missing)}; name another pipeline"
            )
        self._lock = Lock()

    def draw(
        self, prompt: str, negative_prompt: str, steps: int, guidance: float | None, seed: int
    ) -> Generator[float, None, Image.Image]:
        """Yield the share done after each step, and 0 while another job runs; return the picture.

        guidance: None for the pipeline's own. Raises InvalidInput where the pipeline has no such
        parameter.
        """
        arguments: dict[str, Any] = {"prompt": prompt, "num_inference_steps": steps}
        if negative_prompt:
            arguments["negative_prompt"] = negative_prompt
        if guidance is not None:
            arguments["guidance_scale"] = guidance
        self._check(arguments)
        generator = torch.Generator().manual_seed(seed)  # on the CPU: the same everywhere
        arguments["generator"] = generator
        while not self._lock.acquire(timeout=self._wait_seconds):
            yield 0.0
        try:
            return (yield from stepwise(lambda report: self._run(arguments, report)))
        finally:
            self._lock.release()

    def _check(self, arguments: dict[str, Any]) -> None:
        names = {"guidance_scale": "guidance"}  # the pipeline's → ours
        rejected = [names.get(name, name) for name in arguments if name not in self._parameters]
        if rejected:
            raise InvalidInput(
                f"the pipeline that is served does not take {' and '.join(rejected)}; leave it out",
                fields=dict.fromkeys(rejected, "is not taken by this pipeline"),
            )

    def _run(self, arguments: dict[str, Any], report: Report) -> Image.Image:
        def after_step(pipeline: Any, step: int, _time: Any, tensors: Any) -> Any:
            total = getattr(pipeline, "num_timesteps", arguments["num_inference_steps"])
            report((step + 1) / (total + 1))  # decoding after the steps counts as one more
            return tensors

        image: Image.Image = self._pipeline(**arguments, callback_on_step_end=after_step).images[0]
        return image.convert("RGB")


def load_pipeline(source: str) -> DiffusersPipeline:
    """Load the pipeline of a folder or of the hub; weights as safetensors, no code of its own.

    Raises ConfigurationError where it cannot be loaded or does not make pictures from text.
    """
    try:
        diffusers = importlib.import_module("diffusers")
        importlib.import_module(
            "transformers"
        )  # it encodes the prompt; diffusers imports without it
    except ImportError as error:
        raise ConfigurationError(
            f"{SETTING} needs packages that are not installed: pip install -r {REQUIREMENTS}"
        ) from error
    path = folder_or_name(source, SETTING)
    gpu = torch.cuda.is_available()
    try:
        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            path,
            dtype=torch.float16 if gpu else torch.float32,
            use_safetensors=True,  # a pickle could run code
            trust_remote_code=False,
        )
    except Exception as error:  # a damaged folder, or a hub that does not answer
        raise ConfigurationError(
            f"{SETTING}: cannot load {source}: {type(error).__name__}: {error}"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return DiffusersPipeline(pipeline.to("cuda") if gpu else pipeline, Path(source).name)
