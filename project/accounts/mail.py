"""Sends mail through SMTP_URL, by the standard library in a thread.

It stands alone because it is the one place that speaks SMTP.
"""

import asyncio
import smtplib
import ssl
from collections.abc import Coroutine
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio
from anyio import to_thread
from loguru import logger

from project.errors import Overloaded
from project.settings import Settings

SMTP_SECONDS = 10.0  # for each answer of the mail server
CONCURRENT_MAILS = 4  # threads of a process that wait for it
MAX_WAITING = 100  # mails; a mail server that hangs must not collect them for ever
RETRY_AFTER = 10
PORTS = {"smtp": 587, "smtps": 465}
LOOPBACKS = {"localhost", "127.0.0.1", "::1"}
SUBJECT = "Set a new password"
TEXT = """Somebody, hopefully you, asked to set a new password for your account.

Open this link within {minutes:g} minutes to choose one:

{link}

If it was not you, do nothing: your password stays as it is.
"""


class Mailer:
    """Sends the links that reset a password. settings: with SMTP_URL."""

    def __init__(self, settings: Settings) -> None:
        self._url = urlsplit(settings.smtp_url.get_secret_value() if settings.smtp_url else "")
        self._sender = settings.mail_from or ""
        self._public_url = (settings.public_url or "").rstrip("/")
        self._tasks: set[asyncio.Task[None]] = set()
        self._limiter = anyio.CapacityLimiter(CONCURRENT_MAILS)

    async def send_reset_link(self, address: str, token: str, valid_seconds: float) -> None:
        """Send a link. Raises OSError and SMTPException.

        The token stands in the fragment, which browsers send to no server.
        """
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, address, SUBJECT
        link = f"{self._public_url}/#reset={token}"
        message.set_content(TEXT.format(minutes=valid_seconds / 60, link=link))
        await to_thread.run_sync(self._send, message, limiter=self._limiter)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Have a mail made and sent in the background, so that no answer waits for it.

        Raises Overloaded where MAX_WAITING are, for an e-mail of nobody too.
        """
        if len(self._tasks) >= MAX_WAITING:
            work.close()
            raise Overloaded("too many mails wait; try again soon", retry_after=RETRY_AFTER)
        task = asyncio.create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Wait for the mails that are being sent."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SMTP_SECONDS)

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - its text may hold the address
            logger.bind(reason=type(error).__name__).error("mail_not_sent")

    def _send(self, message: EmailMessage) -> None:
        """Send a message; without TLS to this machine alone."""
        host = self._url.hostname or "localhost"
        port = self._url.port or PORTS[self._url.scheme]
        context = ssl.create_default_context()
        if self._url.scheme == "smtps":
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                host, port, timeout=SMTP_SECONDS, context=context
            )
        else:
            client = smtplib.SMTP(host, port, timeout=SMTP_SECONDS)
        with client:
            if self._url.scheme == "smtp" and host not in LOOPBACKS:
                client.starttls(context=context)  # raises where the server offers none
            if self._url.username:
                client.login(unquote(self._url.username), unquote(self._url.password or ""))
            client.send_message(message)
