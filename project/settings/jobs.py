"""The settings of jobs: database, broker, storage, leases, and how long things are kept."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

DATABASES = ("sqlite+aiosqlite://", "postgresql+asyncpg://")
STORAGES = ("file:", "s3://", "gs://", "az://")
EMBEDDED_BROKER = Path("var/valkey/valkey.sock")
RENEWALS = 4  # of a lease before it lapses, so that one late renewal loses nothing


class JobSettings(BaseSettings):
    """What `Settings` takes from here; each with its default and one line of help."""

    database_url: SecretStr = Field(
        SecretStr("sqlite+aiosqlite:///var/vitrine.db"),
        description="Database: sqlite+aiosqlite:///… or postgresql+asyncpg://…",
    )
    database_wait_seconds: float = Field(
        60, ge=0, description="A start waits this long for the database, then gives up."
    )
    redis_url: SecretStr | None = Field(
        None, description="Redis or Valkey, such as redis://localhost:6379/0."
    )
    redis_timeout_seconds: float = Field(
        0.1, gt=0, description="A Redis that takes longer to answer is done without."
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
    jobs: bool = Field(
        default=True, description="Take jobs: needs a database, a storage, a broker and workers."
    )
    job_limit: int = Field(10_000, ge=1, description="Jobs that may wait; the next one gets a 503.")
    job_lease_seconds: float = Field(
        15, gt=0, description="A job whose worker was silent for this long is run again."
    )
    job_sweep_seconds: float = Field(
        5, gt=0, description="Every worker looks this often for jobs that were left lying."
    )
    job_seconds: float = Field(600, gt=0, description="A job that runs longer fails.")
    job_attempts: int = Field(4, ge=1, description="Runs of a job before it has failed.")
    job_retry_seconds: float = Field(
        5, gt=0, description="Pause before the second run; it doubles with each."
    )
    job_retention_seconds: float = Field(
        86_400, gt=0, description="Inputs and results of ended jobs are deleted after this."
    )
    worker_processes: int = Field(
        2, ge=1, le=64, description="Job workers; each runs one job at a time."
    )
    worker_nice: int = Field(
        10, ge=0, le=19, description="How far job workers yield the processors to others; 0: not."
    )
    worker_slot: int = Field(
        0, ge=0, description="Number of a worker among its siblings; the supervisor sets it."
    )
    worker_metrics_port: int = Field(
        9191, ge=1, le=65535, description="Port of the job workers' metrics, on HOST."
    )
    worker_shutdown_seconds: float = Field(
        8, gt=0, description="At its end a worker gives its job back; it is killed after this."
    )

    text_to_image_weights: str | None = Field(
        None,
        min_length=1,
        description="A diffusers pipeline: folder or Hugging Face name; unset: the demo's weights.",
    )

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

    @field_validator("redis_url")
    @classmethod
    def _read_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        from redis.connection import parse_url  # noqa: PLC0415 - slow, and every process reads this

        try:
            parse_url(value.get_secret_value())  # type: ignore[no-untyped-call]
        except ValueError as error:  # it may say the address, and with it a password
            raise ValueError("write it as redis://, rediss:// or unix://") from error
        return value

    @property
    def broker_url(self) -> str:
        """REDIS_URL; unset: the server that `make run` starts."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        return f"unix://{EMBEDDED_BROKER.absolute()}"

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
