"""Registration, invitations, and setting a new password."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from project.accounts import fields
from project.accounts.audit import audit
from project.accounts.credentials import DocumentCipher, digest, new_secret
from project.accounts.mail import Mailer
from project.accounts.passwords import Passwords
from project.db.account_records import OneTimeToken, User
from project.db.records import new_id
from project.db.tables import Purpose, Role
from project.db.users import TAKEN, Users
from project.errors import AccountConflict, Forbidden, InvalidInput
from project.observability.metrics import AUTH_ATTEMPTS
from project.settings import Settings

INVITATION_SECONDS = 7 * 86_400.0
RESET_SECONDS = 3600.0
FRESH_SECONDS = 300.0  # age of a token that stands for the password of a user who has none
RESET_PAUSE_SECONDS = 60.0  # between two links for a user, whoever asks for them


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
        self._adding_link = asyncio.Lock()

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
        _check_not_reserved(profile.username)
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
        document, document_digest = self._document(profile.document)
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
            document_digest=document_digest,
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
        Raises Forbidden where the server sends no mail, and Overloaded.
        """
        if self._mailer is None:
            raise Forbidden("this server sends no mail: ask its operators for a new password")
        self._mailer.start(self._mail_reset_link(self._mailer, email))

    async def _mail_reset_link(self, mailer: Mailer, email: str) -> None:
        """Mail a link, but none to a user of an OpenID Connect provider, who signs in there."""
        user = await self._users.find(email)
        if user is None or not user.active or user.password_hash is None:
            return
        async with self._adding_link:
            recent = self._clock() + RESET_SECONDS - RESET_PAUSE_SECONDS
            if await self._users.has_link(user.id, recent):
                return
            token = await self._add("reset", RESET_SECONDS, user_id=user.id, email=user.email)
        await mailer.send_reset_link(user.email, token, RESET_SECONDS)

    async def reset(self, token: str, password: str, *, revoke_keys: bool = True) -> str:
        """Set the password that a link permits, and sign the user out; returns the user's id.

        revoke_keys: also its API keys, which who knew the password may have made.

        Raises Forbidden where the link is not valid, or was sent to an e-mail that is not the
        user's any more.
        """
        used = await self._use("reset", token)
        try:
            user = await self._user_of_link(used)
            hashed = await self._passwords.hash(password)
            if revoke_keys:
                await self.revoke_keys(user.id, user.id)
            await self.set_hash(user.id, hashed)
        except Exception:
            await self._users.restore_one_time(used.id)
            raise
        audit("password_reset", actor=user.id, subject=user.id)
        return user.id

    async def _user_of_link(self, link: OneTimeToken) -> User:
        user = await self._users.get(link.user_id or "")
        if user is None or user.email != link.email:
            raise _not_valid("reset")
        return user

    async def change_profile(self, user: User, changes: Mapping[str, str], current: str) -> User:
        """Change columns of a user; its e-mail takes the current password.

        Raises Forbidden for a wrong password, and AccountConflict.
        """
        if changes.get("username", user.username) != user.username:
            _check_not_reserved(changes["username"])
        if "email" in changes:
            await self.check_password(user, current)
        changed = await self._users.change(user.id, **changes) if changes else user
        if "email" in changes:
            audit("email_changed", actor=user.id, subject=user.id)
        return changed or user

    async def change_password(self, user: User, current: str, new: str) -> None:
        """Set a new password, and sign the user out. Raises Forbidden for a wrong current one."""
        await self.check_password(user, current)
        await self.set_hash(user.id, await self._passwords.hash(new))
        audit("password_changed", actor=user.id, subject=user.id)

    async def check_password(self, user: User, current: str) -> None:
        """Raise Forbidden for a wrong password: a stolen token must not take the account over."""
        right, _ = await self._passwords.verify(current, user.password_hash)
        AUTH_ATTEMPTS.labels("password", "ok" if right else "refused").inc()
        if not right:
            raise Forbidden("the current password is wrong")

    async def confirm(self, user: User, password: str | None, issued_at: float | None) -> None:
        """Raise Forbidden unless it is the user itself, and nobody who has its token alone.

        By its password; where it has none, as of an OpenID Connect provider, by a fresh token.
        issued_at: of the token.
        """
        if user.password_hash is not None:
            await self.check_password(user, password or "")
        elif issued_at is None or self._clock() - issued_at > FRESH_SECONDS:
            raise Forbidden(
                f"this takes a token that is at most {FRESH_SECONDS:.0f} s old: sign in again"
            )

    async def set_password(
        self, user_id: str, password: str, actor: str, *, revoke_keys: bool = False
    ) -> None:
        """Set a user's password, and sign the user out. revoke_keys: also its API keys."""
        hashed = await self._passwords.hash(password)
        if revoke_keys:
            await self.revoke_keys(user_id, actor)
        await self.set_hash(user_id, hashed)
        audit("password_reset", actor=actor, subject=user_id)

    async def revoke_keys(self, user_id: str, actor: str) -> None:
        """Revoke all keys of a user."""
        for key_id in await self._users.revoke_keys(user_id, self._clock()):
            audit("key_revoked", actor=actor, subject=user_id, key_id=key_id)

    async def set_hash(self, user_id: str, hashed: str) -> None:
        """Store a password's hash; tokens that were issued before are void."""
        await self._users.sign_out(user_id, self._clock(), password_hash=hashed)

    def _document(self, text: str | None) -> tuple[str | None, str | None]:
        """The encrypted document and its digest. Raises InvalidInput."""
        kinds = self._settings.user_document
        if text is None:
            return None, None
        if not kinds:
            raise _invalid_document("leave it out: this server asks for no document")
        try:
            document = fields.document(text, kinds)
        except ValueError as error:
            raise _invalid_document(str(error)) from None
        cipher = DocumentCipher(self._settings)
        return cipher.encrypt(document), cipher.digest(document)

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
            raise _not_valid(purpose)
        return found


_NAMES: dict[Purpose, str] = {"invitation": "invitation", "reset": "link"}


def _not_valid(purpose: Purpose) -> Forbidden:
    return Forbidden(f"the {_NAMES[purpose]} is not valid, or was used; ask for another")


def _check_not_reserved(username: str) -> None:
    if username == fields.FIRST_ADMINISTRATOR:
        raise AccountConflict(TAKEN)


def _check_invited(invitation: OneTimeToken, profile: Profile) -> None:
    if invitation.email is not None and invitation.email != profile.email:
        raise Forbidden("the invitation is for another e-mail; register with that one")


def _invalid_document(advice: str) -> InvalidInput:
    return InvalidInput(f"document: {advice}", fields={"document": advice})
