"""Registration, invitations, and setting a new password."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from project.accounts import fields
from project.accounts.audit import audit
from project.accounts.credentials import DocumentCipher, digest, new_secret
from project.accounts.mail import Mailer
from project.accounts.passwords import Passwords
from project.db.records import new_id
from project.db.tables import Purpose, Role
from project.db.users import OneTimeToken, User, Users
from project.errors import Forbidden, InvalidInput
from project.settings import Settings

INVITATION_SECONDS = 7 * 86_400.0
RESET_SECONDS = 3600.0


@dataclass(frozen=True)
class Profile:
    """What a user is created from, checked by project/accounts/fields.py.

    document: as the user writes it; it is checked where the user is created.
    """

    email: str
    username: str
    full_name: str
    password: str
    document: str | None = None


class Registration:
    """Creates users and sets their passwords. mailer: None where SMTP_URL is not set."""

    def __init__(
        self,
        settings: Settings,
        users: Users,
        passwords: Passwords,
        mailer: Mailer | None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._users = users
        self._passwords = passwords
        self._mailer = mailer
        self._clock = clock

    async def register(self, profile: Profile, invitation: str | None) -> User:
        """Create a user who asks for it.

        Raises Forbidden where it may not, AccountConflict where its e-mail or username is taken,
        and InvalidInput for its document.
        """
        kinds = self._settings.user_document
        if kinds and profile.document is None and self._settings.environment != "local":
            raise _invalid_document(f"send the number of one of: {', '.join(kinds)}")
        if self._settings.registration == "closed":
            raise Forbidden("registration is closed: an administrator can create your account")
        if self._settings.registration == "open":
            return await self.create(profile)
        invited = await self._use("invitation", invitation)
        try:
            _check_invited(invited, profile)
            return await self.create(profile)
        except Exception:
            await self._users.restore_one_time(invited.id)
            raise

    async def create(self, profile: Profile, role: Role = "user", actor: str | None = None) -> User:
        """Create a user. actor: who creates it; None: it registers itself.

        Raises AccountConflict and InvalidInput, as `register` does.
        """
        document = self._document(profile.document)
        now = self._clock()
        user = User(
            id=new_id(now),
            email=profile.email,
            username=profile.username,
            full_name=profile.full_name,
            password_hash=await self._passwords.hash(profile.password),
            role=role,
            active=True,
            document=document,
            monthly_quota=None,
            issuer=None,
            subject=None,
            signed_out_at=None,
            created_at=now,
        )
        await self._users.add(user)
        audit("user_created", actor=actor or user.id, subject=user.id, role=role)
        return user

    async def invite(self, email: str | None, actor: str) -> str:
        """An invitation, for one e-mail or for anyone; it works once."""
        token = await self._add("invitation", INVITATION_SECONDS, email=email)
        audit("invitation_created", actor=actor, subject=digest(token)[:12])
        return token

    def request_reset(self, email: str) -> None:
        """Mail a link that sets a new password, if there is a user with this e-mail.

        It does so in the background: the answer and its time tell nothing of the e-mail.
        Raises Forbidden where the server sends no mail.
        """
        if self._mailer is None:
            raise Forbidden("this server sends no mail: ask its operators for a new password")
        self._mailer.start(self._mail_reset_link(self._mailer, email))

    async def _mail_reset_link(self, mailer: Mailer, email: str) -> None:
        user = await self._users.find(email)
        if user is not None and user.active:
            token = await self._add("reset", RESET_SECONDS, user_id=user.id)
            await mailer.send_reset_link(user.email, token, RESET_SECONDS)

    async def reset(self, token: str, password: str) -> str:
        """Set the password that a link permits, and sign the user out; returns the user's id."""
        used = await self._use("reset", token)
        user_id = used.user_id or ""
        try:
            await self.set_hash(user_id, await self._passwords.hash(password))
        except Exception:
            await self._users.restore_one_time(used.id)
            raise
        audit("password_reset", actor=user_id, subject=user_id)
        return user_id

    async def change_password(self, user: User, current: str, new: str) -> None:
        """Set a new password, and sign the user out. Raises Forbidden for a wrong current one."""
        await self.check_password(user, current)
        await self.set_hash(user.id, await self._passwords.hash(new))
        audit("password_changed", actor=user.id, subject=user.id)

    async def check_password(self, user: User, current: str) -> None:
        """Raise Forbidden for a wrong password: a stolen token must not take the account over."""
        right, _ = await self._passwords.verify(current, user.password_hash)
        if not right:
            raise Forbidden("the current password is wrong")

    async def set_password(self, user_id: str, password: str, actor: str) -> None:
        """Set a user's password, and sign the user out."""
        await self.set_hash(user_id, await self._passwords.hash(password))
        audit("password_reset", actor=actor, subject=user_id)

    async def set_hash(self, user_id: str, hashed: str) -> None:
        """Store a password's hash; tokens that were issued before are void."""
        await self._users.change(user_id, password_hash=hashed)
        await self._users.sign_out(user_id, self._clock())

    def _document(self, text: str | None) -> str | None:
        """The encrypted document. Raises InvalidInput."""
        kinds = self._settings.user_document
        if text is None:
            return None
        if not kinds:
            raise _invalid_document("leave it out: this server asks for no document")
        try:
            return DocumentCipher(self._settings).encrypt(fields.document(text, kinds))
        except ValueError as error:
            raise _invalid_document(str(error)) from None

    async def _add(
        self,
        purpose: Purpose,
        seconds: float,
        *,
        user_id: str | None = None,
        email: str | None = None,
    ) -> str:
        now, token = self._clock(), new_secret(purpose)
        one_time = OneTimeToken(new_id(now), purpose, user_id, email, digest(token), now + seconds)
        await self._users.add_one_time(one_time, now)
        return token

    async def _use(self, purpose: Purpose, token: str | None) -> OneTimeToken:
        found = await self._users.use_one_time(purpose, digest(token or ""), self._clock())
        if found is None:
            raise Forbidden(f"the {_NAMES[purpose]} is not valid, or was used; ask for another")
        return found


_NAMES: dict[Purpose, str] = {"invitation": "invitation", "reset": "link"}


def _check_invited(invitation: OneTimeToken, profile: Profile) -> None:
    if invitation.email is not None and invitation.email != profile.email:
        raise Forbidden("the invitation is for another e-mail; register with that one")


def _invalid_document(advice: str) -> InvalidInput:
    return InvalidInput(f"document: {advice}", fields={"document": advice})
