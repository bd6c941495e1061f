"""Creates the first administrator at a start, from ADMIN_EMAIL and ADMIN_PASSWORD.

It stands alone because a process that starts the server runs it, and no server does.
"""

from loguru import logger

from project.accounts import fields
from project.accounts.audit import OPERATOR
from project.accounts.passwords import Passwords
from project.accounts.registration import Profile, Registration
from project.db.engine import open_database
from project.db.users import Users
from project.errors import AccountConflict, ConfigurationError
from project.settings import Settings

USERNAME, FULL_NAME = "admin", "First Administrator"


async def ensure_administrator(settings: Settings) -> None:
    """Create the administrator where none exists; of processes that start at once, one does.

    Raises ConfigurationError where ADMIN_EMAIL is no e-mail, and DatabaseUnavailable.
    """
    if settings.admin_email is None or settings.admin_password is None:
        return
    try:
        email = fields.email(settings.admin_email)
    except ValueError as error:
        raise ConfigurationError(f"ADMIN_EMAIL: {error}") from None
    async with open_database(settings) as engine:
        users = Users(engine)
        if await users.has_admin():
            return
        password = settings.admin_password.get_secret_value()
        profile = Profile(email, USERNAME, FULL_NAME, password)
        registration = Registration(settings, users, Passwords(), None)
        try:
            await registration.create(profile, "admin", actor=OPERATOR)
        except AccountConflict:
            if not await users.has_admin():  # else another process was first
                logger.warning("administrator_not_created")  # its e-mail is another user's
