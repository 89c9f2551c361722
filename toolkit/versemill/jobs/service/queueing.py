"""Whether an owner may have another job wait: disabled users, and limits.

Checked in the transaction that queues the job, so that limits hold however many come at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from versemill.errors import ForbiddenError, LimitError
from versemill.jobs.service.rights import is_admin
from versemill.jobs.states import Priority, State
from versemill.jobs.storage.tables import Job, User
from versemill.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Collection

    from versemill.jobs.service.principal import Principal
    from versemill.jobs.service.rights import Account
    from versemill.jobs.storage.unit_of_work import UnitOfWork

_WAITING = (State.QUEUED,)
_NOT_OVER = (State.QUEUED, State.RUNNING)


def require_enabled(owner: Account) -> None:
    """Raises `ForbiddenError` for a disabled user: nothing new may be theirs."""
    if owner.disabled:
        raise ForbiddenError(
            f"{owner.name} is disabled: their jobs are held, and they can add nothing",
            reason="disabled",
            user=owner.name,
        )


def check_may_queue(
    uow: UnitOfWork,
    owner: Account,
    principal: Principal,
    priority: Priority,
    *,
    jobs: int = 1,
    waiting: bool = False,
) -> None:
    """Raises unless the owner may have so many more jobs of this priority.

    Call it after `uow.lock`, if that is needed too: it may lock the owner's row.

    Args:
        uow: the transaction that queues them.
        owner: whose they are.
        principal: who asks.
        priority: of the jobs.
        jobs: how many.
        waiting: whether they wait already, and only their priority becomes this.

    Raises:
        ForbiddenError: the owner is disabled.
        LimitError: the owner has as many as their limit allows.
    """
    if not waiting:
        require_enabled(owner)
    urgent = priority is Priority.URGENT and not is_admin(uow.session, principal)
    if not urgent and (waiting or owner.queued_limit is None):
        return
    queued_limit, urgent_limit = _locked_limits(uow, owner)
    if queued_limit is not None and not waiting:
        there = _count(uow, owner, _WAITING)
        if there + jobs > queued_limit:
            raise LimitError(
                f"{owner.name} has {counted(there, 'job')} waiting, and the limit is "
                f"{queued_limit:,}",
                reason="queued",
                user=owner.name,
                limit=queued_limit,
            )
    if urgent and urgent_limit is not None:
        there = _count(uow, owner, _NOT_OVER, Priority.URGENT)
        if there + jobs > urgent_limit:
            raise LimitError(
                f"priority urgent is for admins, and for members up to a limit: {owner.name} has "
                f"{counted(there, 'urgent job')}, and the limit is {urgent_limit:,}",
                reason="urgent",
                user=owner.name,
                limit=urgent_limit,
            )


def _locked_limits(uow: UnitOfWork, owner: Account) -> tuple[int | None, int | None]:
    """The limits as they are now. Whoever queues a job of this owner too waits for the commit."""
    query = select(User.queued_limit, User.urgent_limit).where(User.id == owner.id)
    row = uow.session.execute(query.with_for_update(key_share=True)).one()
    return row.queued_limit, row.urgent_limit


def _count(
    uow: UnitOfWork, owner: Account, states: Collection[State], priority: Priority | None = None
) -> int:
    query = select(func.count()).where(Job.owner_id == owner.id, Job.state.in_(states))
    if priority is not None:
        query = query.where(Job.priority == priority)
    return uow.scalar(query) or 0
