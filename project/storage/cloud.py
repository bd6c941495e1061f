"""A bucket of S3, Google Cloud Storage or Azure; the cloud serves its signed URLs.

Credentials come from each cloud's usual environment variables or from the machine's own identity;
AWS_ENDPOINT_URL names an S3 server other than Amazon's.
"""

import math
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store, from_url

from project.errors import ConfigurationError
from project.storage.base import TIMEOUT_SECONDS, Storage, summary
from project.storage.names import check_key, check_media_type, disposition

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

CONNECT_SECONDS = 3.0


class CloudStorage(Storage):
    """Files in a bucket, under the prefix that the URL names.

    Raises ConfigurationError where the URL or the environment is not valid.
    """

    def __init__(
        self, url: str, url_seconds: float, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        super().__init__(url_seconds, timeout_seconds)
        if not urlsplit(url).netloc:
            raise ConfigurationError("STORAGE_URL: name a bucket, as in s3://bucket/prefix")
        try:
            bucket = from_url(
                url, client_options=_client(timeout_seconds), retry_config=_retries(timeout_seconds)
            )
        except (BaseError, OSError, ValueError) as error:
            raise ConfigurationError(f"STORAGE_URL is not valid: {summary(error)}") from error
        if not isinstance(bucket, S3Store | GCSStore | AzureStore):
            raise ConfigurationError("STORAGE_URL: begin it with s3://, gs:// or az://")
        self._bucket = bucket

    async def url(self, key: str, media_type: str, filename: str) -> str:  # noqa: ARG002
        """A presigned URL of the cloud.

        Its media type and filename are those of `put`, as our signatures cannot cover others.
        """
        check_key(key)
        check_media_type(media_type)
        life = timedelta(seconds=math.ceil(self._url_seconds))
        return await self._run("sign", lambda: obstore.sign(self._bucket, "GET", key, life))

    def _open(self) -> "ObjectStore":
        return self._bucket

    def _attributes(self, media_type: str, filename: str) -> "Attributes":
        return {"Content-Type": media_type, "Content-Disposition": disposition(filename)}


def _client(timeout_seconds: float) -> "ClientConfig":
    return {
        "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS, timeout_seconds)),
        "timeout": timedelta(seconds=timeout_seconds),
        "allow_http": True,  # for a self-hosted endpoint; those of the clouds are https
    }


def _retries(timeout_seconds: float) -> "RetryConfig":
    return {
        "max_retries": 2,
        "retry_timeout": timedelta(seconds=timeout_seconds),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=1),
            "base": 2,
        },
    }
