"""A setting that is misspelt in `.env` is named with the one that is meant; foreign names are not.

`.env` is shared: Compose, deployments and libraries read variables of their own from it.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from drills.server import free_port
from project.settings import Settings
from project.settings.misspelt import meant, misspelt_settings, warning_lines
from tests.commands import ROOT

SETTINGS = frozenset(name.upper() for name in Settings.model_fields)
# What else is found in such files.
FOREIGN = """
AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION AWS_DEFAULT_REGION
AWS_PROFILE AWS_ENDPOINT_URL AWS_ENDPOINT AWS_ALLOW_HTTP AWS_BUCKET AWS_S3_ADDRESSING_STYLE
S3_BUCKET S3_ENDPOINT AZURE_STORAGE_ACCOUNT_NAME AZURE_STORAGE_ACCOUNT_KEY
AZURE_STORAGE_CONNECTION_STRING AZURE_CLIENT_ID GOOGLE_APPLICATION_CREDENTIALS GOOGLE_CLOUD_REGION
GOOGLE_CLOUD_QUOTA_PROJECT GCP_PROJECT GCLOUD_PROJECT HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY
http_proxy https_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGSSLROOTCERT PGSSLMODE POSTGRES_USER POSTGRES_PASSWORD
POSTGRES_DB POSTGRES_HOST POSTGRES_PORT POSTGRES_URL MYSQL_URL DB_HOST DB_PORT DB_USER DB_PASSWORD
DB_NAME DB_URL DATABASE_HOST DATABASE_PORT DATABASE_NAME DATABASE_USER DATABASE_PASSWORD
DATABASE_POOL_SIZE REDIS_HOST REDIS_PORT REDIS_PASSWORD REDIS_DB REDIS_TLS VALKEY_PASSWORD
VALKEY_PORT RABBITMQ_URL CELERY_BROKER_URL KAFKA_BROKERS MONGO_URL GRAFANA_USER GRAFANA_PASSWORD
GRAFANA_PORT GRAFANA_URL GRAFANA_HOST GF_SECURITY_ADMIN_PASSWORD LOKI_URL LOKI_PORT TEMPO_URL
MIMIR_URL PROMETHEUS_URL PROMETHEUS_HOST PROMETHEUS_RETENTION ALERTMANAGER_URL ALERTMANAGER_HOST
ALERT_EMAIL METRICS_HOST METRICS_PATH METRICS_USER PUSHGATEWAY_URL OTEL_TRACES_SAMPLER
OTEL_TRACES_EXPORTER OTEL_METRICS_EXPORTER OTEL_LOGS_EXPORTER OTEL_SDK_DISABLED
OTEL_EXPORTER_OTLP_PROTOCOL OTEL_EXPORTER_OTLP_TIMEOUT OTEL_EXPORTER_OTLP_COMPRESSION
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT OTEL_EXPORTER_OTLP_METRICS_ENDPOINT
OTEL_EXPORTER_OTLP_LOGS_ENDPOINT OTEL_EXPORTER_OTLP_TRACES_HEADERS OTEL_EXPORTER_OTLP_CERTIFICATE
OTEL_RESOURCE_ATTRIBUTES OTEL_PROPAGATORS OTEL_BSP_SCHEDULE_DELAY OTEL_SERVICE_VERSION
OTEL_SERVICE_NAMESPACE SENTRY_ENVIRONMENT SENTRY_RELEASE SENTRY_TRACES_SAMPLE_RATE
SENTRY_AUTH_TOKEN SENTRY_ORG SENTRY_PROJECT COMPOSE_PROFILES COMPOSE_PROJECT_NAME COMPOSE_FILE
DOCKER_HOST DOCKER_BUILDKIT DOCKER_SOCKET KUBECONFIG GUNICORN_CMD_ARGS GUNICORN_WORKERS
UVICORN_PORT WEB_PORT WEB_HOST API_PORT API_HOST API_KEY API_TOKEN API_URL APP_ENV APP_NAME
APP_PORT NODE_ENV ENV DEBUG STAGE DOMAIN DOMAIN_NAME SERVER_NAME SERVER_PORT SECRET_KEY JWT_SECRET
SESSION_SECRET ACCESS_TOKEN GITHUB_TOKEN GITLAB_TOKEN NPM_TOKEN HF_TOKEN HF_HOME
HUGGING_FACE_HUB_TOKEN HF_HUB_OFFLINE TRANSFORMERS_CACHE TORCH_HOME TORCH_INDEX
CUDA_VISIBLE_DEVICES OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS MALLOC_ARENA_MAX
MALLOC_TRIM_THRESHOLD_ LD_PRELOAD OPENAI_API_KEY ANTHROPIC_API_KEY SLACK_WEBHOOK_URL SLACK_TOKEN
PAGERDUTY_KEY SMTP_HOST SMTP_PORT PYTHONPATH PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE
PIP_INDEX_URL VIRTUAL_ENV PYTEST_ADDOPTS PATH HOME USER SHELL LANG LC_ALL TERM TZ PWD HOSTNAME
EDITOR MAIL LOGNAME TMPDIR DISPLAY UID GID LOG_DIR LOG_PATH LOG_MAX_SIZE LOG_ROTATION CACHE_URL
CACHE_TTL CACHE_SIZE MODEL_PATH MODEL_DIR MODEL_NAME MAX_WORKERS MAX_CONNECTIONS MAX_RETRIES
WORKER_COUNT WORKER_CONCURRENCY WORKER_CPUS WORKER_REPLICAS STORAGE_BUCKET STORAGE_REGION
STORAGE_KEY MINIO_ROOT_USER MINIO_ROOT_PASSWORD VERSION COMMIT TAG IMAGE PROCFILE FOREMAN_PORT
YOLO_WEIGHTS PRETRAINED_WEIGHTS CLASSIFICATION_WEIGHTS DETECTION_WEIGHTS
"""


def deployed() -> set[str]:
    """Every variable that a file of deploy/ or of the tree's root sets or reads."""
    listed = ["git", "ls-files", "deploy", "Makefile", "Procfile", "prestart.sh", ".env.example"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found: set[str] = set()
    for name in files.split():
        text = (ROOT / name).read_text(encoding="utf-8", errors="ignore")
        found |= set(re.findall(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)\b(?=[=:]|\}|\?=)", text))
        found |= set(re.findall(r"\$\{?([A-Z][A-Z0-9_]*)", text))
    return found


@pytest.mark.parametrize(
    ("written", "setting"),
    [
        ("QEUE_LIMIT", "QUEUE_LIMIT"),
        ("QUEUE_LIMTI", "QUEUE_LIMIT"),
        ("QUEUELIMIT", "QUEUE_LIMIT"),
        ("LIMIT_QUEUE", "QUEUE_LIMIT"),
        ("queue_limits", "QUEUE_LIMIT"),
        ("MODEL", "MODELS"),
        ("JOB", "JOBS"),
        ("JOB_ATTEMPT", "JOB_ATTEMPTS"),
        ("JOBS_ATTEMPTS", "JOB_ATTEMPTS"),
        ("WEB_CONCURENCY", "WEB_CONCURRENCY"),
        ("ENVIROMENT", "ENVIRONMENT"),
        ("SENTRY_DNS", "SENTRY_DSN"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("REDIS_URI", "REDIS_URL"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("GRACEFUL_TIMEOUT", "GRACEFUL_TIMEOUT_SECONDS"),
        ("MAX_BODY", "MAX_BODY_BYTES"),
        ("TEXT_TO_IMGE_WEIGHTS", "TEXT_TO_IMAGE_WEIGHTS"),
        ("TEXT_TO_IMAGE_WEIGHT", "TEXT_TO_IMAGE_WEIGHTS"),
        ("TEXTTOIMAGE_WEIGHTS", "TEXT_TO_IMAGE_WEIGHTS"),
        ("OTEL_EXPORTER_OTLP_ENDPIONT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ],
)
def test_a_near_miss_names_the_setting(written, setting):
    """A few letters, another order or number, a missing unit or underscore."""
    assert meant(written, SETTINGS) == setting


@pytest.mark.parametrize("name", re.findall(r"\S+", FOREIGN))
def test_a_foreign_name_is_no_near_miss(name):
    """It belongs to a library, a shell or another program."""
    assert name.upper() in SETTINGS or meant(name, SETTINGS) is None


def test_no_variable_of_a_deployment_is_a_near_miss():
    """They stand in the same files."""
    names = deployed()
    assert {"QUEUE_LIMIT", "GRAFANA_PASSWORD", "COMPOSE_PROFILES", "VITRINE_ENV"} <= names
    assert {name: near for name in names - SETTINGS if (near := meant(name, SETTINGS))} == {}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_setting_with_a_letter_less_is_found(name):
    """Whichever setting it is; names of four letters have too many neighbours."""
    if len(name) >= 7:
        middle = len(name) // 2
        assert meant(name[:middle] + name[middle + 1 :], SETTINGS) == name


def test_the_file_is_read_as_the_settings_are(tmp_path: Path):
    """Comments, quotes and `export` included; names in any case; never a value."""
    file = tmp_path / ".env"
    file.write_text(
        "# QEUE_SECONDS=1\nQUEUE_LIMIT=5\nqueue_seconds=1\nexport QEUE_LIMIT='secret value'\n"
        "HTTP_PROXY=http://proxy\nWORKER_SLOT=1\nnot a line\nMODEL\n"
    )
    assert misspelt_settings(file) == {"QEUE_LIMIT": "QUEUE_LIMIT", "MODEL": "MODELS"}
    assert misspelt_settings(tmp_path / "missing") == {}


def test_the_line_names_both_and_no_value(monkeypatch, tmp_path):
    """Of the environment, which is full of foreign names, nothing is said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUEUE_LIMITS", "7")
    assert warning_lines() == []
    (tmp_path / ".env").write_text("ADMIN_TOKENS=sixteen-letters-secret\n")
    (line,) = warning_lines()
    assert line == ".env: ADMIN_TOKENS is no setting; ADMIN_TOKEN is (did you mean it?)"


def test_the_preflight_of_make_run_prints_it(tmp_path):
    """Beside the addresses, on stderr: stdout has the arguments of what starts next."""
    (tmp_path / ".env").write_text("QEUE_LIMIT=5\nHTTP_PROXY=http://none\n")
    done = subprocess.run(
        [sys.executable, "-m", "project", "preflight"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "JOBS": "off", "MONITORING": "off", "PORT": str(free_port())},
        capture_output=True,
        text=True,
        check=True,
    )
    named = [line.strip() for line in done.stderr.splitlines() if "setting" in line]
    assert named == [".env: QEUE_LIMIT is no setting; QUEUE_LIMIT is (did you mean it?)"]
    assert "setting" not in done.stdout
