"""GET /metadata: what runs here, and what a client has to know before it signs in."""

import threading

import pytest

from project.api.routes import operations
from tests.account_api import account_api
from tests.job_api import job_api, job_settings

pytestmark = pytest.mark.anyio


async def test_it_says_that_accounts_are_off_and_where_the_documentation_is(tmp_path):
    """With DOCS=off the page shows no link to it."""
    for docs in (True, False):
        async with job_api(job_settings(tmp_path, docs=docs), tmp_path) as api:
            metadata = (await api.client.get("/metadata")).json()
        assert (metadata["docs"], metadata["accounts"]) == (docs, None)


@pytest.mark.parametrize("registration", ["open", "invitation", "closed"])
async def test_it_says_who_may_register_and_with_what(tmp_path, registration):
    """To a client without a user, as that is what has to register."""
    async with account_api(tmp_path, registration=registration) as api:
        assert (await api.client.get("/metadata")).json()["accounts"] == {
            "registration": registration,
            "documents": [],
            "document_required": False,
            "mails_reset_links": False,
        }


async def test_it_says_which_documents_a_user_has(tmp_path):
    """Demanded outside local; and whether a forgotten password is reset by mail."""
    settings = {
        "user_document": "br.cpf,br.cnpj",
        "document_key": "k" * 32,
        "smtp_url": "smtp://127.0.0.1:1",
        "mail_from": "vitrine@example.org",
        "public_url": "https://vitrine.example.org",
        "metrics_token": "m" * 32,
        "redis_url": "redis://127.0.0.1:1",
    }
    for environment in ("local", "production"):
        async with account_api(tmp_path, environment=environment, **settings) as api:
            accounts = (await api.client.get("/metadata")).json()["accounts"]
        assert accounts == {
            "registration": "closed",
            "documents": ["br.cpf", "br.cnpj"],
            "document_required": environment == "production",
            "mails_reset_links": True,
        }


async def test_a_broker_that_hangs_does_not_hold_the_page(tmp_path, monkeypatch):
    """The page waits for this answer, and needs no counts of queues."""
    monkeypatch.setattr(operations, "QUEUES_SECONDS", 0.01)
    answered = threading.Event()
    async with job_api(job_settings(tmp_path), tmp_path) as api:
        queue = api.state["job_services"].queue

        async def hang(_queues):
            await operations.asyncio.to_thread(answered.wait)

        monkeypatch.setattr(queue, "states", hang)
        try:
            assert (await api.client.get("/metadata")).json()["queues"] is None
        finally:
            answered.set()
