"""The models of a job worker: loaded and stopped with it, and tried again where loading failed."""

import asyncio

import pytest

from project.errors import InvalidInput, ModelUnavailable
from project.jobs.execution import ModelHost
from tests.conftest import make_settings, picture
from tests.fakes import BlendModel, ShadeModel

pytestmark = pytest.mark.anyio
IMAGES = {"content": picture(), "style": picture(colour="black")}


class LoadableBlend(BlendModel):
    """A long model that loads, or fails with load_error."""

    load_error: Exception | None = None

    def load(self) -> None:
        if self.load_error:
            raise self.load_error


async def test_quick_and_long_models_do_their_work_and_report_progress():
    """Quick ones predict one picture; long ones run step by step."""
    reported = []
    async with ModelHost([ShadeModel(), LoadableBlend()], make_settings()) as models:
        quick = await models.work("shade", {"image": picture()}, {}, reported.append)
        long = await models.work("blend", IMAGES, {}, reported.append)
    assert b'"light"' in quick.data
    assert long.media_type == "image/png"
    assert reported == [0.0, 1.0, 0.0, 0.5]


async def test_a_result_is_predicted_though_the_api_caches_results(tmp_path, shade):
    """A job is computed when it runs; its result has a place of its own."""
    settings = make_settings(result_cache="memory", cache_dir=tmp_path, inference_streams=4)
    async with ModelHost([shade], settings) as models:
        shade.batches.clear()
        for _ in range(2):
            await models.work("shade", {"image": picture()}, {}, lambda _share: None)
    assert shade.batches == [1, 1]


async def test_a_long_model_that_did_not_load_is_unavailable_and_harms_no_other(shade):
    """Its jobs wait; the retry ends with the worker."""
    blend = LoadableBlend()
    blend.load_error = OSError("weights are corrupt")
    before = asyncio.all_tasks()
    async with ModelHost([shade, blend], make_settings()) as models:
        with pytest.raises(ModelUnavailable):
            await models.work("blend", IMAGES, {}, lambda _share: None)
        assert await models.work("shade", {"image": picture()}, {}, lambda _share: None)
    await asyncio.sleep(0)  # a cancelled task ends in the next iteration of the loop
    assert asyncio.all_tasks() == before


async def test_parameters_of_another_release_are_refused_with_advice(shade):
    """A job may have waited through a deployment."""
    async with ModelHost([shade], make_settings()) as models:
        with pytest.raises(InvalidInput, match="send it again"):
            await models.work("shade", {"image": picture()}, {"colour": 1}, lambda _share: None)
