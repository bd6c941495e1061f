"""Job settings: database, broker, storage, job workers, leases and retention."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from project.settings.model_names import ModelNames

DATABASES = ("sqlite+aiosqlite://", "postgresql+asyncpg://")
STORAGES = ("file:", "s3://", "gs://", "az://")
EMBEDDED_BROKER = Path("var/valkey/valkey.sock")


class JobSettings(BaseSettings):
    """Jobs: database, broker, storage and job workers."""

    jobs: bool = Field(
        default=True, description="Accept jobs; requires a database, a storage, a broker, workers."
    )
    database_url: SecretStr = Field(
        SecretStr("sqlite+aiosqlite:///var/vitrine.db"),
        description="Database: sqlite+aiosqlite:///… or postgresql+asyncpg://…",
    )
    database_wait_seconds: float = Field(
        60, ge=0, description="A start waits this long for the database, then fails."
    )
    redis_url: SecretStr | None = Field(
        None, description="Redis or Valkey, such as redis://localhost:6379/0."
    )
    redis_timeout_seconds: float = Field(
        0.1, gt=0, description="The result cache is bypassed where Redis takes longer to answer."
    )
    storage_url: str = Field(
        "file:var/storage",
        description="Storage of inputs and results: file:…, s3://…, gs://… or az://…",
    )
    storage_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Key that signs the URLs of a local folder; unset: one is generated.",
    )
    storage_url_seconds: float = Field(
        900, gt=0, description="The URL of a result is valid for this long."
    )

    job_limit: int = Field(
        10_000, ge=1, description="Maximum number of waiting jobs; the next one gets a 503."
    )
    job_lease_seconds: float = Field(
        15,
        gt=0,
        description="A job whose worker does not renew its lease for this long runs again.",
    )
    job_sweep_seconds: float = Field(
        5, gt=0, description="Interval at which each job worker searches for abandoned jobs."
    )
    job_seconds: float = Field(600, gt=0, description="Time limit of a job.")
    job_attempts: int = Field(4, ge=1, description="Attempts before a job fails.")
    job_retry_seconds: float = Field(
        5, gt=0, description="Delay before the second attempt; it doubles with each."
    )
    job_retention_seconds: float = Field(
        86_400, gt=0, description="Files of finished jobs are deleted after this."
    )

    job_queues: ModelNames = Field(
        (),
        validate_default=False,
        description="Queues that the job workers take, by model; unset: those of all MODELS.",
    )
    worker_processes: int = Field(
        2, ge=1, le=64, description="Job workers; each runs one job at a time."
    )
    worker_nice: int = Field(
        10,
        ge=0,
        le=19,
        description="Niceness of job workers, so that the API has priority; 0: none.",
    )
    worker_slot: int = Field(
        0, ge=0, description="Number of a job worker among its siblings; the supervisor exports it."
    )
    worker_metrics_port: int = Field(
        9191, ge=1, le=65535, description="Port of the job workers' metrics, on HOST."
    )
    worker_shutdown_seconds: float = Field(
        8,
        gt=0,
        description="Time for a job worker to release its job at shutdown; then it is killed.",
    )

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(DATABASES):
            raise ValueError(f"write it as {' or '.join(f'{start}…' for start in DATABASES)}")
        return value

    @field_validator("storage_url")
    @classmethod
    def _check_storage_url(cls, value: str) -> str:
        if not value.startswith(STORAGES):
            raise ValueError(f"write it as {', '.join(f'{start}…' for start in STORAGES)}")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        from redis.connection import parse_url  # noqa: PLC0415 - slow, and every process loads this

        try:
            parse_url(value.get_secret_value())  # type: ignore[no-untyped-call]
        except ValueError as error:  # its message may have the URL, and with it a password
            raise ValueError("write it as redis://, rediss:// or unix://") from error
        return value

    @property
    def broker_url(self) -> str:
        """REDIS_URL; unset: the server that `make run` starts."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        return f"unix://{EMBEDDED_BROKER.absolute()}"
