"""The result cache: the same question is answered once, within bounds, and never wrongly."""

import asyncio
import os
import time
from itertools import product
from pathlib import Path

import pytest
from pydantic import ValidationError

from project.errors import CacheUnavailable, InvalidImage, ModelFailed
from project.inference.cache import ENTRY_OVERHEAD_BYTES, MemoryStore, ResultCache, make_cache
from project.inference.runner import Runner
from project.settings import Settings
from project.settings.loading import error_lines
from tests.conftest import make_settings, picture
from tests.fakes import ShadeModel, ShadeParams
from tests.samples import sample

HOUR = 3600.0


def caching(tmp_path: Path, **changes: object) -> Settings:
    return make_settings(result_cache="memory", cache_dir=tmp_path, **changes)


def store(tmp_path: Path, max_bytes: int = 10_000, seconds: float = HOUR) -> MemoryStore:
    return MemoryStore(max_bytes, seconds, tmp_path / "cleared")


def hits() -> float:
    return sample("inference_cache_total", model="shade", result="hit")


def predictions() -> float:
    return sample("inference_predictions_total", model="shade", label="light")


def test_the_same_picture_is_predicted_once(tmp_path, shade):
    """The second request gets the same result, counted, without a forward pass."""

    async def test() -> None:
        async with Runner.of([shade], caching(tmp_path)) as runner:
            before, counted = hits(), predictions()
            shade.batches.clear()
            first = await runner.predict("shade", {"image": picture()}, ShadeParams())
            second = await runner.predict("shade", {"image": picture()}, ShadeParams())
        assert (first.cached, second.cached) == (False, True)
        assert first.result == second.result
        assert shade.batches == [1]
        assert hits() == before + 1
        assert predictions() == counted + 2  # both were answered so

    asyncio.run(test())


def test_another_parameter_is_another_question(tmp_path, shade):
    """What is light depends on the threshold."""

    async def test() -> None:
        async with Runner.of([shade], caching(tmp_path)) as runner:
            for threshold, label in ((0.0, "light"), (255.0, "dark"), (0.0, "light")):
                params = ShadeParams(threshold=threshold)
                prediction = await runner.predict(
                    "shade", {"image": picture(colour="grey")}, params
                )
                assert prediction.result.label == label

    asyncio.run(test())


def test_keys_differ_where_anything_differs():
    """Name, version, parameters and content cannot run into each other."""
    raws = [{}, {"x": b""}, {"x": b"b"}, {"x": "b{"}, {"y": b"b"}, {"x": b"b", "y": b""}]
    parts = (["a", "ab", "b"], ["", "b", "1"], [0.0, 1.0], raws)

    def keys() -> list[str]:
        found = []
        for name, version, threshold, raw in product(*parts):
            model = ShadeModel(name)
            model.version = version
            found.append(ResultCache.key(model, ShadeParams(threshold=threshold), raw))
        return found

    assert len(set(keys())) == len(keys()) == 108
    assert keys() == keys()


def test_errors_are_never_stored(tmp_path, shade):
    """A model that failed once, or bytes that are no picture, are tried again."""

    async def test() -> None:
        async with Runner.of([shade], caching(tmp_path)) as runner:
            for _ in range(2):
                with pytest.raises(InvalidImage):
                    await runner.predict("shade", {"image": b"no picture"}, ShadeParams())
            shade.forward_error = ValueError("broken")
            with pytest.raises(ModelFailed):
                await runner.predict("shade", {"image": picture()}, ShadeParams())
            shade.forward_error = None
            prediction = await runner.predict("shade", {"image": picture()}, ShadeParams())
            assert prediction.cached is False

    asyncio.run(test())


def test_memory_is_bounded_and_what_was_used_last_stays(tmp_path):
    """Neither many values nor one huge value can exceed the bound."""

    async def test() -> None:
        kept = store(tmp_path, max_bytes=3 * (ENTRY_OVERHEAD_BYTES + 100))
        for key in ("a", "b", "c"):
            await kept.put(key, bytes(100), time.time_ns())
        assert await kept.get("a")  # used: b is now the oldest
        await kept.put("d", bytes(100), time.time_ns())
        assert [bool(await kept.get(key)) for key in "abcd"] == [True, False, True, True]
        await kept.put("a", bytes(50), time.time_ns())  # replaced, not added
        assert await kept.get("c")
        await kept.put("huge", bytes(100_000), time.time_ns())
        assert await kept.get("huge") is None
        assert kept.size_bytes == 0

    asyncio.run(test())


def test_a_result_is_kept_for_its_time(tmp_path):
    """And not a moment longer."""

    async def test() -> None:
        kept, gone = store(tmp_path), store(tmp_path, seconds=-1)
        for each in (kept, gone):
            await each.put("key", b"value", time.time_ns())
        assert await kept.get("key") == b"value"
        assert await gone.get("key") is None

    asyncio.run(test())


def test_clearing_one_worker_clears_every_worker(tmp_path):
    """A request to clear reaches one worker; the others see it when they are next asked."""

    async def test() -> None:
        one, other = store(tmp_path), store(tmp_path)
        for each in (one, other):
            await each.put("key", b"value", time.time_ns())
        await one.clear()
        assert await one.get("key") is None
        assert await other.get("key") is None
        await other.put("key", b"new", time.time_ns())
        assert await other.get("key") == b"new"
        later = time.time_ns() + 10**9
        os.utime(tmp_path / "cleared", ns=(later, later))
        assert await other.get("key") is None

    asyncio.run(test())


def test_a_result_requested_before_a_clearing_is_not_stored_after_it(tmp_path):
    """A prediction that was under way may be the very one that was to be forgotten."""

    async def test() -> None:
        kept = store(tmp_path)
        asked = time.time_ns()
        await kept.clear()
        await kept.put("key", b"old", asked)
        assert await kept.get("key") is None

    asyncio.run(test())


def test_a_folder_that_cannot_be_written_makes_clearing_an_error(tmp_path):
    """Better than to say that all is forgotten."""
    (tmp_path / "file").write_text("not a folder")
    kept = MemoryStore(1000, HOUR, tmp_path / "file" / "cleared")
    with pytest.raises(CacheUnavailable):
        asyncio.run(kept.clear())


def test_a_kept_value_that_is_no_result_of_the_model_is_a_miss(tmp_path, shade):
    """Another release may have stored it; the request must not fail for that."""

    async def test() -> None:
        async with Runner.of([shade], caching(tmp_path)) as runner:
            key = ResultCache.key(shade, ShadeParams(), {"image": picture()})
            assert runner.cache
            await runner.cache.store.put(key, b'{"colour": "red"}', time.time_ns())
            prediction = await runner.predict("shade", {"image": picture()}, ShadeParams())
            assert prediction.cached is False
            assert prediction.result.label == "light"

    asyncio.run(test())


def test_it_is_off_unless_asked_for(shade):
    """Then nothing is hashed or stored."""

    async def test() -> None:
        async with Runner.of([shade], make_settings()) as runner:
            assert runner.cache is None
            prediction = await runner.predict("shade", {"image": picture()}, ShadeParams())
            assert prediction.cached is None

    assert make_cache(make_settings()) is None
    asyncio.run(test())


@pytest.mark.parametrize(
    "wrong", ["localhost:6379", "valkey://localhost", "redis://host:port/0", "http://a:secret@b"]
)
def test_an_address_that_is_none_is_said_at_start_without_showing_it(wrong):
    """A reload with a slip of the pen must not end the server, nor print a password."""
    with pytest.raises(ValidationError) as refused:
        make_settings(redis_url=wrong)
    (line,) = error_lines(refused.value)
    assert line.startswith("REDIS_URL: write it as redis://")
    assert "secret" not in line


def test_redis_demands_its_address():
    """Said at start, not at the first request."""
    with pytest.raises(ValueError, match="REDIS_URL"):
        make_settings(result_cache="redis")
