"""Any text-to-image pipeline of diffusers, from a folder or the Hugging Face hub, step by step."""

import importlib
import inspect
from collections.abc import Generator
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from PIL import Image

from project.errors import ConfigurationError, InvalidInput
from project.models.base.stepwise import Tell, stepwise

SETTING = "TEXT_TO_IMAGE_WEIGHTS"
REQUIREMENTS = "requirements-text-to-image.txt"
NEEDED = "prompt", "num_inference_steps", "generator", "callback_on_step_end"
WAIT_SECONDS = 1.0  # for another job of this process, between looks at whether to go on waiting


class DiffusersPipeline:
    """One pipeline; it keeps the state of a run in itself, so jobs take turns."""

    def __init__(self, source: str) -> None:
        """Load it. Raises ConfigurationError for what cannot be loaded or is not fit for this."""
        self.name = Path(source).name
        self._pipeline = _loaded(source)
        self._takes = set(inspect.signature(self._pipeline.__call__).parameters)
        missing = [name for name in NEEDED if name not in self._takes]
        if missing:
            raise ConfigurationError(
                f"{SETTING}: {type(self._pipeline).__name__} makes no pictures from text in steps: "
                f"it does not take {', '.join(missing)}; name another pipeline"
            )
        self._turn = Lock()

    def drawn(
        self, prompt: str, negative_prompt: str, steps: int, guidance: float | None, seed: int
    ) -> Generator[float, None, Image.Image]:
        """Yield the share done after each step, and while another job has its turn; return it.

        guidance: None for the pipeline's own. Raises InvalidInput for what it does not take.
        """
        wanted: dict[str, Any] = {"prompt": prompt, "num_inference_steps": steps}
        if negative_prompt:
            wanted["negative_prompt"] = negative_prompt
        if guidance is not None:
            wanted["guidance_scale"] = guidance
        self._check(wanted)
        wanted["generator"] = torch.Generator().manual_seed(seed)  # on the CPU: the same everywhere
        while not self._turn.acquire(timeout=WAIT_SECONDS):
            yield 0.0
        try:
            return (yield from stepwise(lambda tell: self._run(wanted, tell)))
        finally:
            self._turn.release()

    def _check(self, wanted: dict[str, Any]) -> None:
        parameters = {"guidance_scale": "guidance"}
        refused = [parameters.get(name, name) for name in wanted if name not in self._takes]
        if refused:
            raise InvalidInput(
                f"the pipeline that is served does not take {' and '.join(refused)}; leave it out",
                fields=dict.fromkeys(refused, "is not taken by this pipeline"),
            )

    def _run(self, wanted: dict[str, Any], tell: Tell) -> Image.Image:
        def after_step(pipeline: Any, step: int, _time: Any, tensors: Any) -> Any:
            total = getattr(pipeline, "num_timesteps", wanted["num_inference_steps"])
            tell((step + 1) / (total + 1))  # what comes after the steps is one more
            return tensors

        image: Image.Image = self._pipeline(**wanted, callback_on_step_end=after_step).images[0]
        return image.convert("RGB")


def _loaded(source: str) -> Any:
    """The pipeline that a setting names; its weights as safetensors, and no code of its own."""
    try:
        diffusers = importlib.import_module("diffusers")
        importlib.import_module("transformers")  # what reads the prompt; diffusers starts without
    except ImportError as error:
        raise ConfigurationError(
            f"{SETTING} needs packages that are not installed: pip install -r {REQUIREMENTS}"
        ) from error
    if source.startswith((".", "/", "~")) and not Path(source).expanduser().is_dir():
        raise ConfigurationError(f"{SETTING}: there is no folder {source}")
    gpu = torch.cuda.is_available()
    try:
        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            str(Path(source).expanduser()) if source.startswith("~") else source,
            dtype=torch.float16 if gpu else torch.float32,
            use_safetensors=True,  # a pickle could run code
            trust_remote_code=False,
        )
    except Exception as error:  # whatever stands in the folder, or keeps the hub from answering
        raise ConfigurationError(
            f"{SETTING}: cannot load {source}: {type(error).__name__}: {error}"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to("cuda") if gpu else pipeline
