"""The settings of jobs: database, storage, leases, attempts, retention, other weights of models."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

DATABASES = ("sqlite+aiosqlite://", "postgresql+asyncpg://")
STORAGES = ("file:", "s3://", "gs://", "az://")
RENEWALS = 4  # of a lease before it lapses, so that one late renewal loses nothing


class JobSettings(BaseSettings):
    """What `Settings` takes from here; each with its default and one line of help."""

    database_url: SecretStr = Field(
        SecretStr("sqlite+aiosqlite:///var/vitrine.db"),
        description="Database: sqlite+aiosqlite:///… or postgresql+asyncpg://…",
    )
    storage_url: str = Field(
        "file:var/storage",
        description="Where inputs and results are kept: file:…, s3://…, gs://… or az://…",
    )
    storage_secret: SecretStr | None = Field(
        None, min_length=16, description="Signs the URLs of a local folder; unset: one is made."
    )
    storage_url_seconds: float = Field(
        900, gt=0, description="The URL of a result is valid this long."
    )
    job_lease_seconds: float = Field(
        20, gt=0, description="A job whose worker was silent for this long is run again."
    )
    job_seconds: float = Field(600, gt=0, description="A job that runs longer fails.")
    job_attempts: int = Field(4, ge=1, description="Runs of a job before it has failed.")
    job_retry_seconds: float = Field(
        5, gt=0, description="Pause before the second run; it doubles with each."
    )
    job_retention_seconds: float = Field(
        86_400, gt=0, description="Inputs and results of ended jobs are deleted after this."
    )
    text_to_image_weights: str | None = Field(
        None,
        min_length=1,
        description="A diffusers pipeline: folder or Hugging Face name; unset: the demo's weights.",
    )

    @property
    def sources(self) -> dict[str, str]:
        """Model → what its setting <NAME>_WEIGHTS names, where that is set."""
        ending = "_weights"
        named = {
            name.removesuffix(ending): getattr(self, name)
            for name in type(self).model_fields
            if name.endswith(ending)
        }
        return {model: source for model, source in named.items() if source}

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(DATABASES):
            raise ValueError(f"write it as {' or '.join(f'{start}…' for start in DATABASES)}")
        return value

    @field_validator("storage_url")
    @classmethod
    def _known_storage(cls, value: str) -> str:
        if not value.startswith(STORAGES):
            raise ValueError(f"write it as {', '.join(f'{start}…' for start in STORAGES)}")
        return value
