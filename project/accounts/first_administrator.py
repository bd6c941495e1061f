"""Creates the first administrator at a start, from ADMIN_EMAIL and ADMIN_PASSWORD.

It stands alone because a process that starts the server runs it, and no server does.
"""

from project.accounts import fields
from project.accounts.audit import OPERATOR
from project.accounts.passwords import Passwords
from project.accounts.registration import Profile, Registration
from project.db.engine import open_database
from project.db.users import Users
from project.errors import AccountConflict, ConfigurationError
from project.settings import Settings

FULL_NAME = "First Administrator"


async def ensure_administrator(settings: Settings) -> None:
    """Create the administrator where none exists; of processes that start at once, one does.

    Raises ConfigurationError where ADMIN_EMAIL is no e-mail, or its e-mail or username is another
    user's, and DatabaseUnavailable.
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
        profile = Profile(email, fields.FIRST_ADMINISTRATOR, FULL_NAME, password)
        registration = Registration(settings, users, Passwords(), None)
        try:
            await registration.create(profile, "admin", actor=OPERATOR)
        except AccountConflict:
            if await users.has_admin():  # another process was first
                return
            taken = await users.find(email)
            name = "e-mail" if taken else f"username {fields.FIRST_ADMINISTRATOR}"
            raise ConfigurationError(
                f"ADMIN_EMAIL: the {name} of the first administrator is another user's; make a "
                "user an administrator by `python -m project users set-role`, or set another e-mail"
            ) from None
