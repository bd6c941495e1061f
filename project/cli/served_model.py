"""What a server says of one of its models: its inputs, and how it answers."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from project.cli.connection import ErrorResponse, Server
from project.cli.inputs import InputSpec
from project.errors import ConfigurationError

Details = Mapping[str, Any]  # GET /v1/models/{model}


def path_of_model(model: str) -> str:
    """Path of a model."""
    return f"/v1/models/{quote(model, safe='', errors='replace')}"


async def details_of(server: Server, model: str) -> Details:
    """Ask for a model. Raises ConfigurationError where the server has none of that name."""
    try:
        return await server.request("GET", path_of_model(model), required=("name", "inputs"))
    except ErrorResponse as error:
        if error.code != HTTPStatus.NOT_FOUND:
            raise
        served = await server.request("GET", "/v1/models", required=("models",))
        names = ", ".join(str(each["name"]) for each in served["models"])
        raise ConfigurationError(
            f"the server at {server.url} has no model {model}; there are: {names}"
        ) from error


def inputs_of(details: Details) -> list[InputSpec]:
    """The inputs of a model."""
    return [
        InputSpec(str(spec["name"]), str(spec["kind"]), bool(spec["required"]))
        for spec in details["inputs"]
    ]
