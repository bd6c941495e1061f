"""Settings: read once, frozen, and wrong ones are named in one line each without their value."""

import pytest
from pydantic import ValidationError

from project.models import create
from project.settings import Settings
from project.settings.accounts import parse_rate
from project.settings.loading import SettingsLoader, error_lines
from tests.conftest import make_settings

TOKEN = "t" * 16


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """An environment without settings, in a folder without .env."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.fixture
def loader(environment) -> SettingsLoader:
    """A process that has read no settings yet."""
    return SettingsLoader()


def test_defaults_are_enough_for_a_developers_machine(loader):
    """`make run` needs no configuration."""
    settings = loader.load()
    assert settings.models == (
        "classification",
        "detection",
        "keypoints",
        "background_removal",
        "style_transfer",
        "spam",
        "text_to_image",
    )
    assert settings.web_concurrency is None
    assert not settings.log_json


def test_every_wrong_setting_is_named_in_a_line_of_its_own(loader, environment):
    """The operator corrects all of them at once, and sees no traceback."""
    environment.setenv("PORT", "http")
    environment.setenv("WEB_CONCURRENCY", "0")
    environment.setenv("METRICS_TOKEN", "sh0rt-secret")
    with pytest.raises(SystemExit) as stopped:
        loader.load()
    lines = str(stopped.value).splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == [
        "PORT",
        "METRICS_TOKEN",
        "WEB_CONCURRENCY",
    ]
    assert "sh0rt-secret" not in str(stopped.value)


def test_settings_are_read_once(loader, environment):
    """What changes in the environment afterwards changes nothing in this process."""
    first = loader.load()
    environment.setenv("PORT", "9999")
    assert loader.load() is first


def test_a_reload_keeps_the_current_settings_where_the_new_ones_are_wrong(loader, environment):
    """A mistake in .env must not take down a running server."""
    loader.load()
    environment.setenv("QUEUE_LIMIT", "7")
    assert loader.reload()[0].queue_limit == 7
    environment.setenv("QUEUE_LIMIT", "none")
    settings, wrong = loader.reload()
    assert settings.queue_limit == 7
    assert wrong[0].startswith("QUEUE_LIMIT:")


def test_an_empty_variable_counts_as_unset(loader, environment):
    """Compose files and shells leave empty variables behind."""
    environment.setenv("PORT", "")
    environment.setenv("SENTRY_DSN", "")
    settings = loader.load()
    assert settings.port == 8000
    assert settings.sentry_dsn is None


@pytest.mark.parametrize(
    "written", ["classification,shade", '["classification", "shade"]', " classification , shade "]
)
def test_models_may_be_written_as_a_list_or_with_commas(loader, environment, written):
    """Both are what people type."""
    environment.setenv("MODELS", written)
    assert loader.load().models == ("classification", "shade")


@pytest.mark.parametrize("written", ["[", ",", "a,a", "[1, 2]", '{"a": 1}'])
def test_models_that_are_no_list_of_names_are_refused(loader, environment, written):
    """And the line names the variable."""
    environment.setenv("MODELS", written)
    with pytest.raises(SystemExit, match="MODELS"):
        loader.load()


def test_origins_are_written_with_commas(loader, environment):
    """None by default."""
    assert loader.load().cors_origins == ()
    environment.setenv("CORS_ORIGINS", "https://app.example, http://localhost:3000,http://[::1]:1")
    settings, faults = loader.reload()
    assert faults == []
    assert settings.cors_origins == (
        "https://app.example",
        "http://localhost:3000",
        "http://[::1]:1",
    )


@pytest.mark.parametrize(
    "written",
    [
        *(
            "*",
            "https://*.example",
            "app.example",
            "https://app.example/",
            "https://app.example:443",
        ),
        *("HTTPS://app.example", "https://App.example", "null", "file://", "https://a.example/b"),
        *("https://user@app.example", "http://a b", "https://a.example:x", "https://ä.example"),
        *("https://a.example?b", "https://a.example:", "https://a.example;https://b.example"),
    ],
)
def test_what_no_browser_sends_as_an_origin_is_refused(loader, environment, written):
    """It would never match; and * would open the API to every page."""
    environment.setenv("CORS_ORIGINS", f"https://app.example,{written}")
    with pytest.raises(SystemExit, match="CORS_ORIGINS"):
        loader.load()


def test_the_workers_take_the_queues_of_all_models_unless_some_are_named(loader, environment):
    """JOB_QUEUES is written as MODELS is."""
    environment.setenv("MODELS", "classification,shade")
    assert loader.load().taken_queues == ("classification", "shade")
    environment.setenv("JOB_QUEUES", "shade")
    settings, faults = loader.reload()
    assert (settings.taken_queues, faults) == (("shade",), [])
    environment.setenv("JOB_QUEUES", "shade,shade")
    assert "JOB_QUEUES" in loader.reload()[1][0]


def test_outside_local_a_missing_secret_stops_the_process():
    """Metrics are not left open to the world by forgetting a variable."""
    with pytest.raises(ValidationError) as stopped:
        make_settings(environment="production")
    assert "METRICS_TOKEN" in error_lines(stopped.value)[0]
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
    assert error_lines(stopped.value)[0].startswith(named)


def test_settings_cannot_be_changed_and_do_not_show_their_secrets():
    """Frozen, and masked where somebody prints them."""
    settings = make_settings(metrics_token=TOKEN)
    with pytest.raises(ValidationError):
        settings.port = 1
    assert TOKEN not in repr(settings)
    assert settings.secret_values() == [TOKEN]


def test_a_reload_is_checked_against_what_runs(loader, environment):
    """What is valid in itself may still not suit a running server."""
    loader.load()
    environment.setenv("QUEUE_LIMIT", "7")
    settings, faults = loader.reload(lambda old, new: [f"{old.queue_limit} to {new.queue_limit}"])
    assert settings.queue_limit == 64
    assert faults == ["64 to 7"]


def test_weights_are_named_by_model(environment):
    """TEXT_TO_IMAGE_WEIGHTS is for the model text_to_image; unset, a model uses its own."""
    assert Settings().weights_by_model == {}
    environment.setenv("TEXT_TO_IMAGE_WEIGHTS", "models/tiny")
    assert Settings().weights_by_model == {"text_to_image": "models/tiny"}


def test_a_model_is_told_where_its_weights_are():
    """And no other is."""
    models = create(["text_to_image", "style_transfer"], {"text_to_image": "models/tiny"})
    assert [model.source for model in models] == ["models/tiny", None]


KEY = "k" * 32


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"token_keys": "one:short"}, "TOKEN_KEYS"),
        ({"token_keys": f"one:{KEY},one:{KEY}"}, "TOKEN_KEYS"),
        ({"token_keys": KEY}, "TOKEN_KEYS"),
        ({"token_keys": ","}, "TOKEN_KEYS"),
        ({"user_document": "br.cpf,br.nothing"}, "USER_DOCUMENT"),
        ({"user_document": "../os"}, "USER_DOCUMENT"),
        ({"admin_email": "root@example.org"}, "ADMIN_PASSWORD"),
        ({"admin_password": "x" * 12}, "ADMIN_EMAIL"),
        ({"smtp_url": "mail.example.org"}, "SMTP_URL"),
        ({"smtp_url": "smtp://mail.example.org"}, "MAIL_FROM"),
        ({"oidc_issuer": "https://login.example.org"}, "OIDC_AUDIENCE"),
        ({"caller_rate": "600/fortnight"}, "CALLER_RATE"),
        ({"address_rate": "0/minute"}, "ADDRESS_RATE"),
        ({"monthly_quota": 2**31}, "MONTHLY_QUOTA"),
        ({"public_url": "vitrine.example.org"}, "PUBLIC_URL"),
    ],
)
def test_account_settings_that_cannot_work_are_refused(changes, named):
    """Each is named in a line, before a user meets it."""
    with pytest.raises(ValidationError) as stopped:
        make_settings(**changes)
    assert error_lines(stopped.value)[0].startswith(f"{named}:")


def test_documents_can_be_of_several_kinds():
    """Separated by commas."""
    assert make_settings(user_document="br.cpf, br.cnpj").user_document == ("br.cpf", "br.cnpj")


def test_each_secret_of_the_token_keys_is_masked_by_itself():
    """A log line with one of them would show no other."""
    new, old = "n" * 32, "o" * 32
    settings = make_settings(token_keys=f"new:{new}, old:{old}")
    assert settings.token_secrets == (("new", new), ("old", old))
    assert {new, old} <= set(settings.secret_values())


def test_a_rate_is_a_number_in_a_period():
    """As people write it."""
    assert parse_rate("600/minute") == (600, 60)
    assert parse_rate("5/second") == (5, 1)
