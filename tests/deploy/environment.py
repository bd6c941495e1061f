"""What a manifest sets in the environment, held against the settings."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import pytest

from project.settings import Settings

# What libraries read: storage and its credentials, and what prestart.sh passes on.
OTHERS = {
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ALLOW_HTTP",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "GOOGLE_APPLICATION_CREDENTIALS",
}


def settings_of(given: Mapping[str, str], others: AbstractSet[str] = frozenset()) -> Settings:
    """The settings that a container with this environment runs with, and no others.

    Fails where a name is none of ours, as a mistyped one would be ignored, and where a value is
    refused.
    """
    known = {name.upper() for name in Settings.model_fields} | OTHERS | others
    assert set(given) <= known, f"not settings: {sorted(set(given) - known)}"
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(name.upper(), raising=False)
        for name, value in given.items():
            patch.setenv(name, value)
        return Settings(_env_file=None)
