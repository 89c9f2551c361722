"""Who may do what: members with their own jobs, admins with everybody's.

Roles are looked up in the transaction that does what is asked. The first user of an installation
is admin. Over a shared database, whoever has its password can be anybody: roles keep a team from
mistakes, not from each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, exists, select

from versemill.errors import ForbiddenError, UnknownNameError
from versemill.jobs.states import Role
from versemill.jobs.storage.tables import User
from versemill.normalisation import prepared_name, spellings
from versemill.phrases import listed

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from versemill.jobs.service.principal import Principal
    from versemill.jobs.storage.unit_of_work import UnitOfWork

_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user, as far as it decides what they may do; limits as in `tables.User`."""

    id: int
    name: str
    role: Role
    disabled: bool
    queued_limit: int | None
    urgent_limit: int | None

    @property
    def admin(self) -> bool:
        """Whether they have an admin's rights: disabled users have none."""
        return self.role is Role.ADMIN and not self.disabled


def find_account(session: Session, name: str) -> Account | None:
    """The user of this name, however it is spelled; None if there is none."""
    for spelling in spellings(prepared_name(name, "user")):
        row = session.execute(_account_query(), {"name": spelling}).first()
        if row is not None:
            return Account(**row._mapping)
    return None


def account(session: Session, user_id: int) -> Account:
    """The user of this id, who is there."""
    name = session.scalars(select(User.name).where(User.id == user_id)).one()
    return known_account(session, name)


def known_account(session: Session, name: str) -> Account:
    """As `find_account`; raises `UnknownNameError`."""
    found = find_account(session, name)
    if found is None:
        raise UnknownNameError("user", name, session.scalars(select(User.name)).all())
    return found


def own_account(uow: UnitOfWork, name: str) -> Account:
    """The user of this name, who exists from the first thing they do. The first of all is admin."""
    found = find_account(uow.session, name)
    if found is None:
        uow.lock("users")
        values = {"name": prepared_name(name, "user"), "role": Role.MEMBER}
        if not _anybody(uow.session):
            values["role"] = Role.ADMIN
        uow.insert_if_absent(User, values, key="name")
        found = find_account(uow.session, name)
    assert found is not None  # noqa: S101 - inserted by us or by somebody else
    return found


def owner_account(uow: UnitOfWork, principal: Principal) -> Account:
    """Who owns what is made now; raises as `require_may_act` and `known_account`."""
    if principal.owner == principal.name:
        return own_account(uow, principal.name)
    require_may_act(uow.session, principal)
    return known_account(uow.session, principal.owner)


def is_admin(session: Session, principal: Principal) -> bool:
    """Whether they have an admin's rights; whoever comes first will have them."""
    account = find_account(session, principal.name)
    return not _anybody(session) if account is None else account.admin


def require_admin(session: Session, principal: Principal, doing: str) -> None:
    """Raises `ForbiddenError` unless an admin asks.

    Args:
        session: a transaction.
        principal: who asks.
        doing: what they want, such as `drain workers`.
    """
    if not is_admin(session, principal):
        raise ForbiddenError(
            f"{principal.name} may not {doing}; only admins ({_admins(session)}) may",
            reason="admin",
            user=principal.name,
        )


def require_may_act(session: Session, principal: Principal) -> None:
    """Raises `ForbiddenError` if somebody who is no admin acts for another user."""
    if principal.owner != principal.name:
        require_admin(session, principal, f"act for {principal.owner}")


def require_owner(
    session: Session, owner_id: int, principal: Principal, doing: str, what: str
) -> None:
    """Raises `ForbiddenError` unless the owner or an admin asks.

    Args:
        session: a transaction.
        owner_id: whose it is.
        principal: who asks.
        doing: what they want to do, such as `cancel`.
        what: with what, such as `job 3 (verses)`.
    """
    account = find_account(session, principal.name)
    if account is not None and (account.admin or (account.id == owner_id and _alone(principal))):
        return
    require_may_act(session, principal)
    owner = session.scalars(select(User.name).where(User.id == owner_id)).one()
    raise ForbiddenError(
        f"{principal.name} may not {doing} {what} of {owner}; only {owner} and admins "
        f"({_admins(session)}) may",
        reason="owner",
        user=principal.name,
        owner=owner,
    )


def _alone(principal: Principal) -> bool:
    return principal.owner == principal.name


def _anybody(session: Session) -> bool:
    return bool(session.scalar(select(exists().where(User.id.is_not(None)))))


def _admins(session: Session) -> str:
    """Their names, for a message."""
    admins = select(User.name).where(User.role == Role.ADMIN, User.disabled.is_(False))
    names = session.scalars(admins.order_by(User.id)).all()
    return listed(names, _NAMED) or "none"


@cache
def _account_query() -> Select[Any]:
    """Building it costs more than running it."""
    users = User.__table__.c
    limits = (users.queued_limit, users.urgent_limit)
    columns = (users.id, users.name, users.role, users.disabled, *limits)
    return select(*columns).where(users.name == bindparam("name"))
