"""Users of an installation: roles, limits, and who is disabled. For admins, but for the listing.

The last admin who is not disabled can be neither disabled nor made a member.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, func, select, update

from versemill.errors import ConfigError, ForbiddenError
from versemill.jobs.service.rights import (
    find_account,
    known_account,
    own_account,
    require_admin,
)
from versemill.jobs.states import Priority, Role, State
from versemill.jobs.storage.tables import Job, User
from versemill.jobs.views import UserView
from versemill.normalisation import prepared_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

    from versemill.jobs.service.principal import Principal
    from versemill.jobs.service.rights import Account
    from versemill.jobs.storage.unit_of_work import Store, UnitOfWork

_NAME = re.compile(r"[^\s-][^\s]{0,63}")
_NAME_RULE = "1 to 64 characters without spaces, not beginning with '-'"
_MOST = 2**31 - 1


_COLUMNS = {
    "running": User.running_limit,
    "queued": User.queued_limit,
    "gpus": User.gpu_limit,
    "urgent": User.urgent_limit,
}


def list_users(store: Store) -> list[UserView]:
    """Every user, by name."""
    with store.reading() as session:
        return _views(session)


def add_user(store: Store, name: str, role: Role, principal: Principal) -> UserView:
    """Adds a user who has done nothing yet.

    Nobody needs to be added: users exist from the first thing they do, as members.

    Args:
        store: where to.
        name: under which they will submit.
        role: theirs.
        principal: who asks.

    Raises:
        ConfigError: the name is malformed or taken.
        ForbiddenError: the principal is no admin.
    """
    name = prepared_name(name, "user")
    if not _NAME.fullmatch(name):
        raise ConfigError("user", name, _NAME_RULE)
    with store.unit_of_work() as uow:
        _begin(uow, principal, "add users")
        taken = find_account(uow.session, name) is not None
        if taken or uow.insert_if_absent(User, {"name": name, "role": role}, key="name") is None:
            raise ConfigError("user", name, "a name that no user has yet")
        uow.commit()
        return _view(uow.session, name)


def set_role(store: Store, name: str, role: Role, principal: Principal) -> UserView:
    """Gives a user another role.

    Raises:
        ForbiddenError: the principal is no admin, or the user is the last admin.
        UnknownNameError: no such user.
    """
    return _change(store, name, principal, "change roles", role=role)


def set_disabled(store: Store, name: str, disabled: bool, principal: Principal) -> UserView:
    """Disables a user, or enables them again.

    What waits of a disabled user's is held, and goes on waiting from the place it has once they
    are enabled; what runs goes on.

    Raises:
        ForbiddenError: the principal is no admin, or the user is the last admin.
        UnknownNameError: no such user.
    """
    doing = "disable users" if disabled else "enable users"
    return _change(store, name, principal, doing, disabled=disabled)


def set_limits(
    store: Store, name: str, limits: Mapping[str, int | None], principal: Principal
) -> UserView:
    """Sets some of a user's limits; 0 holds everything, None lifts the limit.

    A limit below what the user has now is allowed: that goes on, and only new ones are held.

    Args:
        store: where the user is.
        name: theirs.
        limits: some of `running`, `queued`, `gpus` and `urgent`; others stay as they are.
        principal: who asks.

    Raises:
        ConfigError: a limit is out of range.
        ForbiddenError: the principal is no admin.
        UnknownNameError: no such user.
    """
    values: dict[str, int | None] = {}
    for kind, limit in limits.items():
        if limit is not None and not 0 <= limit <= _MOST:
            raise ConfigError(f"limit {kind}", limit, f"0 to {_MOST:,}, or none")
        values[_COLUMNS[kind].key] = limit
    return _change(store, name, principal, "change limits", **values)


def _begin(uow: UnitOfWork, principal: Principal, doing: str) -> None:
    """Lets an admin in. The first of an installation becomes one by this."""
    uow.lock("users")
    own_account(uow, principal.name)
    require_admin(uow.session, principal, doing)


def _change(store: Store, name: str, principal: Principal, doing: str, **values: Any) -> UserView:
    with store.unit_of_work() as uow:
        _begin(uow, principal, doing)
        user = known_account(uow.session, name)
        admin = values.get("role", user.role) is Role.ADMIN
        if user.admin and (not admin or values.get("disabled", False)):
            _require_another_admin(uow, user)
        if values:
            uow.execute(update(User).where(User.id == user.id).values(values))
        uow.commit()
        return _view(uow.session, user.name)


def _require_another_admin(uow: UnitOfWork, user: Account) -> None:
    others = select(User.id).where(
        User.role == Role.ADMIN, User.disabled.is_(False), User.id != user.id
    )
    if uow.scalar(others.limit(1)) is None:
        raise ForbiddenError(
            f"{user.name} is the last admin, and can be neither disabled nor made a member",
            reason="last-admin",
            user=user.name,
        )


def _view(session: Session, name: str) -> UserView:
    return next(user for user in _views(session) if user.name == name)


def _views(session: Session) -> list[UserView]:
    running, queued = Job.state == State.RUNNING, Job.state == State.QUEUED
    urgent = Job.priority == Priority.URGENT
    counts = (
        select(
            Job.owner_id,
            func.sum(case((running, 1), else_=0)).label("running"),
            func.sum(case((queued, 1), else_=0)).label("queued"),
            func.sum(case((urgent, 1), else_=0)).label("urgent"),
        )
        .where(Job.state.in_((State.RUNNING, State.QUEUED)))
        .group_by(Job.owner_id)
        .subquery()
    )
    kinds = ("running", "queued", "urgent")
    numbers = [func.coalesce(counts.c[kind], 0).label(kind) for kind in kinds]
    columns = (User.name, User.role, User.disabled, User.created_at, *_COLUMNS.values())
    query = select(*columns, *numbers).outerjoin(counts, counts.c.owner_id == User.id)
    rows = session.execute(query.order_by(User.name))
    return [UserView(**row._mapping) for row in rows]
