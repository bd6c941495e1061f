"""/openapi.json: valid by structure, complete for every model, and its example works as printed."""

import base64
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import Field

from project import models
from project.api.openapi import request_schema
from project.inference.images.decoding import MEDIA_TYPES
from project.models.base import Params
from tests import corpus
from tests.fakes import ShadeModel

PREDICT = "/v1/models/classification/predictions"
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture(scope="module")
def document(real_client) -> dict[str, Any]:
    return real_client.get("/openapi.json").json()


@pytest.fixture(scope="module")
def operation(document) -> dict[str, Any]:
    return document["paths"][PREDICT]["post"]


def every(value: Any, key: str) -> Iterator[Any]:
    """All values under that key, at any depth."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for inner in value.values():
            yield from every(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from every(inner, key)


def resolved(document: dict[str, Any], reference: str) -> Any:
    """What a $ref points at. Raises KeyError where it points at nothing."""
    assert reference.startswith("#/"), reference
    value: Any = document
    for step in reference[2:].split("/"):
        value = value[step.replace("~1", "/").replace("~0", "~")]
    return value


def test_it_is_openapi_3_1_by_structure(document):
    """What the specification demands of the document, its paths and operations."""
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"]
    assert document["info"]["version"]
    ids = []
    for path, item in document["paths"].items():
        assert path.startswith("/")
        for method, operation in item.items():
            assert method in METHODS
            ids.append((operation["operationId"], path))
            assert operation["responses"]
            for status, response in operation["responses"].items():
                assert status == "default" or 100 <= int(status) < 600
                assert response["description"]
            for parameter in operation.get("parameters", []):
                assert parameter["in"] in {"query", "path", "header", "cookie"}
                assert parameter["in"] != "path" or parameter["required"]
                assert "schema" in parameter
    names = {name for name, _ in ids}
    assert len(names) == len({path for _, path in ids})


def test_every_reference_points_at_something(document):
    """A client generator follows them all."""
    references = list(every(document, "$ref"))
    assert references
    for reference in references:
        assert resolved(document, reference)


def test_every_schema_is_a_json_schema(document):
    """Known types, and nothing demanded that is not described."""
    schemas = [*document["components"]["schemas"].values(), *every(document["paths"], "schema")]
    schemas += [inner for found in every(schemas, "properties") for inner in found.values()]
    for schema in schemas:
        if schema.get("type", "object") == "object":
            assert set(schema.get("required", [])) <= set(schema.get("properties", {}))
        else:
            assert schema["type"] in TYPES


def test_every_route_that_is_served_is_documented(document):
    """But for the page and its files."""
    assert {PREDICT, "/v1/models", "/v1/models/{model}", "/health", "/ready", "/metadata"} <= set(
        document["paths"]
    )


def test_a_prediction_documents_its_three_bodies(operation):
    """A form, JSON, and each image type; the image is demanded, the parameters are bounded."""
    body = operation["requestBody"]
    assert body["required"] is True
    assert set(body["content"]) == {"multipart/form-data", "application/json", *MEDIA_TYPES}
    for kind in ("multipart/form-data", "application/json"):
        schema = body["content"][kind]["schema"]
        assert schema["required"] == ["image"]
        assert schema["additionalProperties"] is False
        top_k = schema["properties"]["top_k"]
        assert (top_k["minimum"], top_k["maximum"], top_k["default"]) == (1, 100, 5)


def test_a_prediction_documents_its_query(operation):
    """With bounds, default and a sentence, and not demanded."""
    (parameter,) = operation["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("top_k", "query", False)
    assert parameter["description"]
    assert (parameter["schema"]["minimum"], parameter["schema"]["maximum"]) == (1, 100)


def test_a_prediction_documents_its_answers(document, operation):
    """The result's schema, and each problem as what it is sent as."""
    result = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert "classes" in resolved(document, result["$ref"])["properties"]
    for status in ("400", "413", "415", "422", "500", "503", "504"):
        content = operation["responses"][status]["content"]
        assert set(content) == {"application/problem+json"}
        assert content["application/problem+json"]["schema"]["$ref"].endswith("/Problem")


def test_every_problem_is_documented_as_it_is_sent(client):
    """FastAPI's own 422 among them, which it adds to each route that has a parameter."""
    document = client.get("/openapi.json").json()
    answer = client.get("/ready?scope=galaxy")
    assert answer.status_code == 422
    content = document["paths"]["/ready"]["get"]["responses"]["422"]["content"]
    assert set(content) == {answer.headers["content-type"]}
    (schema,) = [item["schema"] for item in content.values()]
    assert faults(document, schema, answer.json()) == []
    errors = [
        (path, status, set(response["content"]))
        for path, item in document["paths"].items()
        for operation in item.values()
        for status, response in operation["responses"].items()
        if status >= "400" and (path, status) != ("/ready", "503")  # a readiness, with what fails
    ]
    assert {"/v1/models/{model}", "/ready"} <= {path for path, _, _ in errors}
    assert [error for error in errors if error[2] != {"application/problem+json"}] == []
    assert "HTTPValidationError" not in document["components"]["schemas"]


def faults(document: dict[str, Any], schema: Any, value: Any) -> list[str]:
    """What in the value is not as the schema has it: types, and members demanded or unknown."""
    if isinstance(schema, bool):  # anything goes, or nothing does
        return [] if schema else [f"{value!r} should not be there"]
    if "$ref" in schema:
        return faults(document, resolved(document, schema["$ref"]), value)
    if "anyOf" in schema:
        return min((faults(document, one, value) for one in schema["anyOf"]), key=len)
    if "type" in schema and not isinstance(value, TYPES[schema["type"]]):
        return [f"{value!r} is no {schema['type']}"]
    found = []
    if isinstance(value, list):
        for item in value:
            found += faults(document, schema["items"], item)
    if isinstance(value, dict):
        members, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        found += [f"no {name}" for name in schema.get("required", []) if name not in value]
        if "additionalProperties" not in schema:
            found += [f"{name} is not described" for name in value if name not in members]
        for name, item in value.items():
            found += faults(document, members.get(name, others), item)
    return found


def test_answers_are_what_the_document_promises(real_client, document):
    """A result and a problem, validated against their schemas."""
    data = corpus.in_every_format()["png"]
    for name, answer in {
        "Classes": real_client.post(PREDICT, files={"image": data}),
        "Problem": real_client.post(PREDICT, files={"x": data}),
        "Readiness": real_client.get("/ready"),
        "Metadata": real_client.get("/metadata"),
        "Models": real_client.get("/v1/models"),
    }.items():
        assert faults(document, document["components"]["schemas"][name], answer.json()) == []


def test_the_check_itself_finds_faults(document):
    """A class whose probability is a text, one without a label, and a member too many."""
    schema = document["components"]["schemas"]["Classes"]
    wrong = {"classes": [{"label": "x", "index": 1, "probability": "high"}, {"index": 1}], "x": 1}
    assert len(faults(document, schema, wrong)) == 4


def test_the_example_can_be_sent_as_it_stands(real_client, operation):
    """`Try it out` answers 200, and the example is a picture that a net can look at."""
    example = operation["requestBody"]["content"]["application/json"]["example"]
    answer = real_client.post(PREDICT, json=example)
    assert answer.status_code == 200
    assert len(answer.json()["classes"]) == example["top_k"]
    assert base64.b64decode(example["image"].partition(",")[2]).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", models.available())
def test_the_example_of_every_model_is_complete(name):
    """It has each field that the schema demands, so that `Try it out` needs no typing."""
    (model,) = models.create([name])
    content = request_schema(model)["requestBody"]["content"]
    example, schema = content["application/json"]["example"], content["application/json"]["schema"]
    assert set(schema["required"]) <= set(example) <= set(schema["properties"])


class Choices(Params):
    """Parameters that may be null, or of several types."""

    seed: int | None = Field(None, ge=0, description="Any number.")
    size: int | Literal["auto"] | None = Field("auto", description="Pixels.")
    fast: bool = Field(default=False, description="Whether to be quick.")


def test_null_is_documented_where_it_can_be_sent_alone():
    """In JSON; a query and a form have text, and leave a field out."""
    model = ShadeModel()
    model.params = Choices
    content = request_schema(model)["requestBody"]["content"]
    as_json, form = (
        content[kind]["schema"]["properties"]
        for kind in ("application/json", "multipart/form-data")
    )
    assert {"type": "null"} in as_json["seed"]["anyOf"]
    assert (form["seed"]["type"], form["seed"]["minimum"]) == ("integer", 0)
    assert "default" not in form["seed"]
    assert form["size"]["anyOf"] == [{"type": "integer"}, {"const": "auto", "type": "string"}]
    assert form["size"]["default"] == "auto"
    assert form["fast"] == as_json["fast"]


def test_the_schemas_of_a_model_are_also_told_by_itself(real_client, operation):
    """GET /v1/models/{model} and the document say the same of the parameters."""
    told = real_client.get("/v1/models/classification").json()
    parameter = operation["parameters"][0]["schema"]
    assert told["parameters_schema"]["properties"]["top_k"] == parameter
    assert len(told["labels"]) == 1000
