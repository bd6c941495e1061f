"""The setting of the command line as a client: the API key of the server that --url names.

It stands alone because no server reads it: a client needs none of the settings of a server.
"""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ClientSettings(BaseSettings):
    """Read from the environment alone; an argument would stand in the list of processes."""

    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)

    vitrine_key: SecretStr | None = Field(None, description="API key for a server with AUTH=keys.")
