"""Server settings: addresses, tokens, Gunicorn's workers, limits of requests and streams."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from project.settings.origins import Origins


class ServerSettings(BaseSettings):
    """Server: addresses, tokens, workers, limits of requests and live streams."""

    environment: Literal["local", "staging", "production"] = Field(
        "local",
        description="Where this runs; outside local, secrets are required and logs are JSON.",
    )
    revision: str = Field("unknown", description="Deployed revision: a commit or an image tag.")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    port: int = Field(8000, ge=1, le=65535, description="Port of the API and the web page.")
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Separate port for /metrics; unset: /metrics is on PORT."
    )
    metrics_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="Bearer token that /metrics requires; at least 16 characters.",
    )
    admin_token: SecretStr | None = Field(
        None, min_length=16, description="Bearer token that operators' routes require."
    )
    forwarded_allow_ips: str = Field(
        "127.0.0.1", description="Proxies whose X-Forwarded-* headers are trusted; * trusts any."
    )
    forwarded_hops: int = Field(
        1,
        ge=1,
        le=16,
        description="With *: how many proxies append to X-Forwarded-For; the client is that many "
        "from the right.",
    )
    cors_origins: Origins = Field(
        (),
        description="Origins whose pages may call the API: https://app.example.com; unset: none.",
    )
    docs: bool = Field(default=True, description="Serve /docs and /openapi.json; off: 404.")

    web_concurrency: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Gunicorn workers; unset: one for every two processors, as memory allows.",
    )
    worker_timeout_seconds: int = Field(
        60, ge=2, description="An API worker that does not respond for this long is killed."
    )
    graceful_timeout_seconds: int = Field(
        30, ge=3, description="Time for an API worker's running requests to finish at shutdown."
    )
    shutdown_delay_seconds: float = Field(
        0,
        ge=0,
        description="After SIGTERM, serve on with a failing /ready for this long.",
    )
    keepalive_seconds: int = Field(
        65,
        ge=1,
        description="Idle connections are closed after this; longer than the load balancer's.",
    )
    max_requests: int = Field(
        250_000, ge=0, description="Requests after which an API worker is replaced; 0: never."
    )
    max_requests_jitter: int = Field(
        25_000,
        ge=0,
        description="Random addition to MAX_REQUESTS; workers are then not replaced together.",
    )

    max_body_bytes: int = Field(
        10 * 2**20,
        ge=1024,
        description="Maximum size of a request body, and of a file inside JSON, bytes.",
    )
    body_timeout_seconds: float = Field(
        30,
        gt=0,
        description="A body that takes longer to arrive gets a 408; a head is disconnected.",
    )

    stream_sessions: int = Field(
        32, ge=1, description="Live streams that a worker serves; the next is closed with 1013."
    )
    stream_frame_bytes: int = Field(
        2**20, ge=1024, description="Maximum size of a message of a live stream, bytes."
    )
    stream_frames_per_second: float = Field(
        30, gt=0, description="Frames of a live stream that are answered in a second, at most."
    )
    stream_idle_seconds: float = Field(
        30, gt=0, description="A live stream without a frame for this long is closed with 4408."
    )
