"""Settings: read once, frozen, and wrong ones are named in one line each without their value."""

import pytest
from pydantic import ValidationError

from project.models import create
from project.settings import Settings
from project.settings import loading as module
from project.settings.loading import load_settings, problems, reload_settings
from tests.conftest import make_settings

TOKEN = "t" * 16


@pytest.fixture
def nothing_read(monkeypatch, tmp_path):
    """A process that has read no settings yet, in a folder without .env."""
    monkeypatch.setattr(module, "_current", None)
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_defaults_are_enough_for_a_machine_of_ones_own(nothing_read):
    """`make run` needs no configuration."""
    settings = load_settings()
    assert settings.models == (
        "classification",
        "background_removal",
        "style_transfer",
        "text_to_image",
    )
    assert settings.web_concurrency is None
    assert not settings.log_json


def test_every_wrong_setting_is_named_in_a_line_of_its_own(nothing_read):
    """The operator mends all of them at once, and sees no traceback."""
    nothing_read.setenv("PORT", "http")
    nothing_read.setenv("WEB_CONCURRENCY", "0")
    nothing_read.setenv("METRICS_TOKEN", "sh0rt-secret")
    with pytest.raises(SystemExit) as stopped:
        load_settings()
    lines = str(stopped.value).splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == [
        "PORT",
        "METRICS_TOKEN",
        "WEB_CONCURRENCY",
    ]
    assert "sh0rt-secret" not in str(stopped.value)


def test_settings_are_read_once(nothing_read):
    """What changes in the environment afterwards changes nothing in this process."""
    first = load_settings()
    nothing_read.setenv("PORT", "9999")
    assert load_settings() is first


def test_a_reload_takes_what_is_right_and_keeps_the_old_where_it_is_wrong(nothing_read):
    """A slip in .env must not take down a server that runs."""
    load_settings()
    nothing_read.setenv("QUEUE_LIMIT", "7")
    assert reload_settings()[0].queue_limit == 7
    nothing_read.setenv("QUEUE_LIMIT", "none")
    settings, wrong = reload_settings()
    assert settings.queue_limit == 7
    assert wrong[0].startswith("QUEUE_LIMIT:")


def test_an_empty_variable_is_as_good_as_none(nothing_read):
    """Compose files and shells leave empty variables behind."""
    nothing_read.setenv("PORT", "")
    nothing_read.setenv("SENTRY_DSN", "")
    settings = load_settings()
    assert settings.port == 8000
    assert settings.sentry_dsn is None


@pytest.mark.parametrize(
    "written", ["classification,shade", '["classification", "shade"]', " classification , shade "]
)
def test_models_may_be_written_as_a_list_or_with_commas(nothing_read, written):
    """Both are what people type."""
    nothing_read.setenv("MODELS", written)
    assert load_settings().models == ("classification", "shade")


@pytest.mark.parametrize("written", ["[", ",", "a,a", "[1, 2]", '{"a": 1}'])
def test_models_that_are_no_list_of_names_are_refused(nothing_read, written):
    """And the line names the variable."""
    nothing_read.setenv("MODELS", written)
    with pytest.raises(SystemExit, match="MODELS"):
        load_settings()


def test_outside_local_a_missing_secret_stops_the_process():
    """Metrics are not left open to the world by forgetting a variable."""
    with pytest.raises(ValidationError) as stopped:
        make_settings(environment="production")
    assert "METRICS_TOKEN" in problems(stopped.value)[0]
    assert make_settings(environment="production", metrics_token=TOKEN).log_json
    assert make_settings(environment="production", metrics_port=9090)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"metrics_port": 8000}, "METRICS_PORT"),
        ({"shutdown_delay_seconds": 28}, "GRACEFUL_TIMEOUT_SECONDS"),
        ({"worker_timeout_seconds": 30}, "WORKER_TIMEOUT_SECONDS"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes, named):
    """Each alone would be fine."""
    with pytest.raises(ValidationError) as stopped:
        make_settings(**changes)
    assert problems(stopped.value)[0].startswith(named)


def test_settings_cannot_be_changed_and_do_not_show_their_secrets():
    """Frozen, and masked where somebody prints them."""
    settings = make_settings(metrics_token=TOKEN)
    with pytest.raises(ValidationError):
        settings.port = 1
    assert TOKEN not in repr(settings)
    assert settings.secrets() == [TOKEN]


def test_weights_of_ones_own_are_named_by_model(nothing_read):
    """TEXT_TO_IMAGE_WEIGHTS is for the model text_to_image; unset, a model uses its own."""
    assert Settings().sources == {}
    nothing_read.setenv("TEXT_TO_IMAGE_WEIGHTS", "models/tiny")
    assert Settings().sources == {"text_to_image": "models/tiny"}


def test_a_model_is_told_where_its_weights_are():
    """And no other is."""
    models = create(["text_to_image", "style_transfer"], {"text_to_image": "models/tiny"})
    assert [model.source for model in models] == ["models/tiny", None]
