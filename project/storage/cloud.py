"""A bucket of S3, Google Cloud Storage or Azure, whose addresses the cloud signs and serves.

Credentials come from each cloud's usual environment variables or from the machine's own identity;
another S3 server than Amazon's is named by AWS_ENDPOINT_URL.
"""

import math
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store, from_url

from project.errors import ConfigurationError
from project.storage.base import ANSWER_SECONDS, Storage, in_short
from project.storage.names import check_key, check_media_type, disposition

if TYPE_CHECKING:
    from obstore import Attributes
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

CLIENT: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=3),
    "timeout": timedelta(seconds=ANSWER_SECONDS),
    "allow_http": True,  # for an endpoint of one's own; the clouds' are https in any case
}
RETRIES: "RetryConfig" = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=ANSWER_SECONDS),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=1),
        "base": 2,
    },
}


class CloudStorage(Storage):
    """Files in a bucket, under the prefix that the URL names.

    Raises ConfigurationError where the URL and the environment make no storage.
    """

    def __init__(self, url: str, url_seconds: float) -> None:
        super().__init__(url_seconds)
        if not urlsplit(url).netloc:
            raise ConfigurationError("STORAGE_URL: name a bucket, as in s3://bucket/prefix")
        try:
            made = from_url(url, client_options=CLIENT, retry_config=RETRIES)
        except (BaseError, OSError, ValueError) as error:
            raise ConfigurationError(f"STORAGE_URL makes no storage: {in_short(error)}") from error
        if not isinstance(made, S3Store | GCSStore | AzureStore):
            raise ConfigurationError("STORAGE_URL: begin it with s3://, gs:// or az://")
        self._made = made

    async def url(self, key: str, media_type: str, filename: str) -> str:  # noqa: ARG002
        """An address that the cloud lets through until it expires.

        Media type and name are those that were put: the signatures that we can make cover none.
        """
        check_key(key)
        check_media_type(media_type)
        life = timedelta(seconds=math.ceil(self._url_seconds))
        return await self._ask("sign", lambda: obstore.sign(self._made, "GET", key, life))

    def _open(self) -> "ObjectStore":
        return self._made

    def _attributes(self, media_type: str, filename: str) -> "Attributes":
        return {"Content-Type": media_type, "Content-Disposition": disposition(filename)}
