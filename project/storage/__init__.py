"""Storage of job files by key: in a folder of this machine, or in a bucket of a cloud."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from project.errors import ConfigurationError
from project.settings import Settings
from project.storage.base import Storage
from project.storage.cloud import CloudStorage
from project.storage.local import LocalStorage

__all__ = ["CloudStorage", "LocalStorage", "Storage", "make_storage"]


def make_storage(settings: Settings) -> Storage:
    """The storage that STORAGE_URL names; it does no I/O before its first use.

    Raises ConfigurationError where STORAGE_URL or a cloud's own variables are not valid.
    """
    url = urlsplit(settings.storage_url)
    if url.scheme != "file":
        return CloudStorage(settings.storage_url, settings.storage_url_seconds)
    if url.netloc or not url.path.strip("/"):
        raise ConfigurationError("STORAGE_URL: write a folder as file:var/storage or file:/srv/x")
    folder = Path(unquote(url.path)).absolute()
    return LocalStorage(folder, settings.storage_secret, settings.storage_url_seconds)
