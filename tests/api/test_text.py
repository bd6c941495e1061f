"""Halves of characters in parameters: refused by name, before anything is kept or predicted."""

import base64
import json
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import AfterValidator, BaseModel, Field

from project.api.requests.unicode import check_text
from project.errors import InvalidInput
from project.models.base import Params
from tests.conftest import picture
from tests.fakes import PaintModel, Shade, ShadeModel, ShadeParams
from tests.job_api import PAINT, job_api, job_settings

pytestmark = pytest.mark.anyio
HALF = "\ud800"
JSON = {"Content-Type": "application/json"}


class Words(ShadeParams):
    """Text that pydantic lets through as it is. escaped: what the model makes text of itself."""

    prompt: str = Field("", description="Any.")
    more: dict[str, Any] = Field(default_factory=dict, description="Any.")
    escaped: Annotated[str, AfterValidator(lambda text: json.loads(f'"{text}"'))] = Field(
        "", description="As in JSON."
    )


class Telling(Shade):
    """Tells the caller's words again."""

    prompt: str


class WordyModel(ShadeModel):
    """Predicts, and says what it was told."""

    params: ClassVar[type[Params]] = Words
    result: ClassVar[type[BaseModel]] = Telling

    def postprocess(self, output: Any, inputs: Any, params: Any) -> Telling:
        shade = super().postprocess(output, inputs, params)
        return Telling(**shade.model_dump(), prompt=params.prompt)


class WordyPaint(PaintModel):
    """Takes words that no limit on their length has checked."""

    params: ClassVar[type[Params]] = Words


@pytest.fixture
async def api(tmp_path):
    models = [WordyModel(), WordyPaint()]
    async with job_api(job_settings(tmp_path), tmp_path, models) as api:
        yield api


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ({"prompt": HALF}, "prompt"),
        ({"prompt": "\udc18\ud83d"}, "prompt"),
        ({"more": {"a": [{"b": HALF}]}}, "more"),
        ({"more": {HALF: 1}}, "more"),
        ({"threshold": HALF}, "threshold"),
        ({HALF: 1}, "\\ud800"),
        ({HALF * 1000: 1}, "\\ud800" * 100),
    ],
)
@pytest.mark.parametrize("path", [PAINT, "/v1/models/shade/jobs", "/v1/models/shade/predictions"])
async def test_half_a_character_is_refused_by_the_name_of_what_has_it(api, path, sent, named):
    """422, nothing is kept, and lists are as they were."""
    image = {} if path == PAINT else {"image": base64.b64encode(picture()).decode()}
    answer = await api.client.post(path, content=json.dumps(image | sent), headers=JSON)
    assert answer.status_code == 422, answer.text
    assert set(answer.json()["errors"]) == {named}
    assert "surrogate" in answer.json()["errors"][named]
    assert (await api.rows(), api.files(), api.queue.sent) == ([], [], [])
    assert (await api.client.get("/v1/jobs")).status_code == 200


async def test_half_a_character_that_a_model_makes_itself_is_refused_as_well(api):
    """A job that cannot be shown would break every list that it is in."""
    answer = await api.client.post(PAINT, json={"escaped": "\\ud800"})
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"escaped"}
    assert await api.rows() == []


async def test_whole_characters_of_two_halves_are_taken(api):
    """JSON may spell an elephant so."""
    content = b'{"prompt": "\\ud83d\\udc18"}'
    answer = await api.client.post(PAINT, content=content, headers=JSON)
    assert (answer.status_code, answer.json()["params"]["prompt"]) == (202, "🐘")


async def test_however_deep_it_is_looked_for(api):
    """Deeper than Python calls itself."""
    value: Any = HALF
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidInput, match="surrogate"):
        check_text({"deep": value})
