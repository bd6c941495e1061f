"""Inference settings: models, backends, queues, the result cache and drift."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from project.settings.model_names import ModelNames

WEIGHTS = "_weights"  # how the name of a setting ends that names the weights of a model


class InferenceSettings(BaseSettings):
    """Inference: models, backends, queues, the result cache and drift."""

    models: ModelNames = Field(
        (
            "classification",
            "detection",
            "keypoints",
            "background_removal",
            "style_transfer",
            "spam",
            "text_to_image",
        ),
        description="Models to serve: file names in project/models/.",
    )
    detection_weights: str | None = Field(
        None,
        min_length=1,
        description="A transformers detector: folder or Hugging Face name; unset: faces by MTCNN.",
    )
    text_to_image_weights: str | None = Field(
        None,
        min_length=1,
        description="A diffusers pipeline: folder or Hugging Face name; unset: the demo's weights.",
    )
    inference_backend: Literal["auto", "cuda", "openvino", "torchscript", "torch"] = Field(
        "auto", description="Backend that runs the nets; auto: the fastest that agrees with torch."
    )
    inference_threads: int = Field(1, ge=1, description="Torch threads in each forward pass.")
    inference_streams: int | None = Field(
        None,
        ge=1,
        description="Threads for each model in each worker; unset: one for each processor.",
    )
    inference_batch: int | None = Field(
        None, ge=1, description="Maximum batch size; unset: the fastest one, measured at the start."
    )
    cache_dir: Path = Field(Path("var/cache"), description="Folder for compiled nets.")

    queue_limit: int = Field(
        64, ge=1, description="Predictions that a worker admits per model; the next one gets a 503."
    )
    queue_seconds: float = Field(
        0.3,
        gt=0,
        description="A prediction that would wait longer gets a 503 as well; "
        "where half of the model's slo_seconds is more, that counts.",
    )
    refusal_pause_seconds: float = Field(
        0.1,
        ge=0,
        description="Pause before a connection is read that retries at once after a 503.",
    )
    prediction_deadline_seconds: float = Field(
        10, gt=0, description="A prediction that takes longer gets a 504."
    )
    max_image_pixels: int = Field(
        50_000_000, ge=1, description="Maximum pixels of an image, checked before decoding."
    )
    max_text_length: int = Field(
        100_000, ge=1, description="Maximum characters of a text, checked before anything else."
    )
    min_image_side: int = Field(
        8, ge=1, description="Minimum width and height of an image, pixels."
    )

    result_cache: Literal["off", "memory", "redis"] = Field(
        "off",
        description="Where results are cached for the same image with the same parameters.",
    )
    result_cache_bytes: int = Field(
        64 * 2**20, ge=1024, description="Memory for cached results in each worker, bytes."
    )
    result_cache_seconds: float = Field(3600, gt=0, description="Lifetime of a cached result.")

    drift_window_seconds: float = Field(
        3600, ge=12, description="Drift compares the predictions of this most recent period."
    )
    drift_baseline_dir: Path | None = Field(
        None, description="Folder of MODEL.baseline.json; unset: the folder of the weights."
    )

    @property
    def weights_by_model(self) -> dict[str, str]:
        """Model → value of its setting <MODEL>_WEIGHTS, where that is set."""
        values = {
            name.removesuffix(WEIGHTS): getattr(self, name)
            for name in type(self).model_fields
            if name.endswith(WEIGHTS)
        }
        return {model: weights for model, weights in values.items() if weights}
