"""text_to_image with TEXT_TO_IMAGE_WEIGHTS: a diffusers pipeline, in steps, one job at a time."""

import json
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from project.errors import ConfigurationError, InvalidInput
from project.models import create
from project.models.base import NoInputs
from project.models.text_to_image import Prompt
from project.models.text_to_image_parts.diffusers_pipeline import DiffusersPipeline
from project.settings import Settings
from tests.steps import finished

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Stable Diffusion pipeline of a few random weights, saved as a user would have."""
    from diffusers import (  # noqa: PLC0415 - takes seconds, for these tests alone
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import (  # noqa: PLC0415
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTokenizer,
    )

    torch.manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{one}</w>" for one in letters)]
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=32,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, sample_size=8),
        text_encoder=CLIPTextModel(text),
        tokenizer=CLIPTokenizer(
            vocab={word: number for number, word in enumerate(words)},
            merges=[],
            model_max_length=32,
        ),
        unet=UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(4, 8),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=8,
            norm_num_groups=2,
            attention_head_dim=2,
        ),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    path = tmp_path_factory.mktemp("pipeline") / "tiny"
    pipeline.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder):
    return loaded(folder)


@pytest.fixture(scope="module")
def pipeline(folder):
    """As a user's own code would load it."""
    from diffusers import StableDiffusionPipeline  # noqa: PLC0415

    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def generator(pipeline):
    """It reports that it waits for another job after a moment."""
    return DiffusersPipeline(pipeline, "tiny", wait_seconds=0.001)


@pytest.fixture
def copied(folder, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(folder, tmp_path / "copied")


def loaded(source):
    settings = Settings(_env_file=None, text_to_image_weights=str(source))
    (model,) = create(["text_to_image"], settings.weights_by_model)
    model.load()
    return model


def drawn(model, prompt: str, seed: int = 1, **params) -> Image.Image:
    return finished(model.steps(NoInputs(), Prompt(prompt=prompt, seed=seed, steps=2, **params)))[1]


def draw(generator: DiffusersPipeline, steps: int = 2, negative_prompt: str = ""):
    """A run of its own, not begun."""
    return generator.draw("a fox", negative_prompt, steps, None, 1)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, int)


def runs() -> list[threading.Thread]:
    """Threads in which pipelines run."""
    return [thread for thread in threading.enumerate() if thread.name == "stepwise"]


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_progress_is_told_after_each_step_of_as_many_as_were_asked_for(model, steps):
    """Decoding comes after; the picture has the pipeline's own size."""
    shares, image = finished(model.steps(NoInputs(), Prompt(prompt="a fox", steps=steps, seed=1)))
    assert shares == [step / (steps + 1) for step in range(1, steps + 1)]
    assert (image.mode, image.size) == ("RGB", (8, 8))


def test_it_says_what_serves(model):
    """Metrics and lists name the pipeline, not the demo."""
    assert (model.backend, model.weights.name) == ("diffusers", "tiny")
    assert model.licence == "NOASSERTION"


def test_every_parameter_reaches_the_pipeline(model):
    """Another value of each gives another picture; the same values the same."""
    plain = pixels(drawn(model, "a fox", guidance=5))
    assert np.array_equal(plain, pixels(drawn(model, "a fox", guidance=5)))
    for other in (
        drawn(model, "pizza", guidance=5),
        drawn(model, "a fox", seed=2, guidance=5),
        drawn(model, "a fox", guidance=20),
        drawn(model, "a fox", guidance=5, negative_prompt="blue sky"),
    ):
        assert not np.array_equal(plain, pixels(other))


def test_closing_stops_the_pipeline_within_a_step(generator, pipeline):
    """Its thread has ended, and the next job can run."""
    calls = []
    hook = pipeline.unet.register_forward_hook(lambda *_: calls.append(1))
    steps = draw(generator, steps=100)
    next(steps)
    next(steps)
    steps.close()
    hook.remove()
    assert len(calls) == 2
    assert runs() == []
    assert finished(draw(generator))[1].size == (8, 8)


def test_an_error_of_the_pipeline_is_raised_and_the_next_job_can_run(generator, pipeline):
    """A job that fails does not keep the next one waiting."""

    def fail(*_) -> None:
        raise RuntimeError("out of memory")

    hook = pipeline.unet.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        finished(draw(generator))
    hook.remove()
    assert runs() == []
    assert finished(draw(generator))[1].size == (8, 8)


def test_jobs_at_once_give_what_they_would_give_alone(model):
    """A scheduler counts its steps in itself, so they run one after the other."""
    prompts = ["a fox", "pizza", "car", "an animal"] * 2
    alone = {prompt: pixels(drawn(model, prompt)) for prompt in set(prompts)}
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda prompt: pixels(drawn(model, prompt)), prompts))
    for prompt, picture in zip(prompts, together, strict=True):
        assert np.abs(alone[prompt] - picture).max() <= 1


def test_a_job_that_waits_for_another_one_reports_meanwhile(generator):
    """So that it can be cancelled though it has not begun."""
    first, second, third = (draw(generator) for _ in range(3))
    next(first)
    assert [next(second), next(second)] == [0.0, 0.0]
    second.close()
    assert next(third) == 0.0
    finished(first)
    assert finished(third)[1].size == (8, 8)


class PlainPipeline:
    """A pipeline without a negative prompt."""

    def __call__(self, prompt, num_inference_steps, generator, callback_on_step_end):
        return SimpleNamespace(images=[Image.new("RGB", (8, 8))])


def test_a_parameter_that_the_pipeline_does_not_have_is_refused_with_advice():
    """Some have no negative prompt."""
    generator = DiffusersPipeline(PlainPipeline(), "plain")
    assert finished(draw(generator))[1].size == (8, 8)
    with pytest.raises(InvalidInput, match="leave it out") as refused:
        finished(draw(generator, negative_prompt="blue"))
    assert set(refused.value.fields) == {"negative_prompt"}


def test_a_pipeline_that_does_not_draw_from_text_in_steps_is_refused_at_load():
    """Its operator reads what it lacks."""
    with pytest.raises(ConfigurationError, match="callback_on_step_end"):
        DiffusersPipeline(lambda prompt, num_inference_steps, generator: None, "odd")


def test_drawing_does_not_move_the_randomness_of_others(model):
    """It has a generator of its own."""
    before = torch.get_rng_state()
    drawn(model, "a fox")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_folder_that_is_not_there_is_said(tmp_path):
    """In words, with the setting's name, and without asking any network."""
    with pytest.raises(ConfigurationError, match="TEXT_TO_IMAGE_WEIGHTS: there is no folder"):
        loaded(tmp_path / "nowhere")


def test_a_folder_without_a_pipeline_is_said(tmp_path):
    """It may be the wrong one."""
    with pytest.raises(ConfigurationError, match="TEXT_TO_IMAGE_WEIGHTS: cannot load"):
        loaded(tmp_path)


def test_weights_in_a_pickle_are_refused(copied):
    """It could run code; safetensors cannot."""
    file = copied / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, file.with_suffix(".bin"))
    file.unlink()
    with pytest.raises(ConfigurationError, match="safetensors"):
        loaded(copied)


def test_code_in_a_folder_is_not_run(copied):
    """Weights come from strangers."""
    index = copied / "model_index.json"
    settings = json.loads(index.read_text())
    index.write_text(json.dumps({**settings, "_class_name": ["own", "Own"]}))
    (copied / "own.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ConfigurationError, match="cannot load"):
        loaded(copied)


def test_a_missing_package_is_said_with_the_file_to_install(folder, monkeypatch):
    """It is not among what every installation needs."""
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ConfigurationError, match=r"-r requirements-text-to-image\.txt"):
        loaded(folder)
