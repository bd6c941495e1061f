"""The audit log: one event for each change of rights, with ids and nothing personal."""

from loguru import logger

OPERATOR = "operator"  # the actor where it is no user: on the command line, and at a start


def audit(action: str, *, actor: str, subject: str, **changes: object) -> None:
    """Log a change of rights.

    actor: id of the user who made it, or OPERATOR. subject: id of the user
    whose rights changed, or of the key. changes: column → new value, of rights alone.
    """
    logger.bind(action=action, actor=actor, subject=subject, **changes).info("audit")
