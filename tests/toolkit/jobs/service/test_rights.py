"""Roles on both databases: members with their own jobs, admins with everybody's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from job_queue import CONFIG, TEXT
from people import ANN, BOB
from versemill.errors import ForbiddenError, UnknownNameError
from versemill.jobs import service
from versemill.jobs.service import Principal, Submission
from versemill.jobs.states import Role, State
from versemill.text.corpus import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_queue import JobQueue
    from versemill.jobs.storage.unit_of_work import Store

CHEN = Principal("chen")
LA, DO = Text(("la\n" * 9,)), Text(("do\n" * 9,))


def enqueue(store: Store, principal: Principal) -> int:
    submission = Submission(config=CONFIG, text=TEXT, plugins=[])
    return service.enqueue(store, submission, principal).job.id


def roles(store: Store) -> dict[str, Role]:
    return {user.name: user.role for user in service.list_users(store)}


class TestFirstUser:
    def test_is_admin_and_others_are_members(self, store: Store) -> None:
        for principal in (BOB, ANN, BOB):
            enqueue(store, principal)
        assert roles(store) == {"bob": Role.ADMIN, "ann": Role.MEMBER}

    def test_is_one_of_several_who_come_at_once(self, store: Store) -> None:
        people = [Principal(f"user-{i}") for i in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(partial(enqueue, store), people))
        assert sorted(roles(store).values()) == [Role.ADMIN, *[Role.MEMBER] * 3]

    def test_is_who_adds_a_user_first(self, store: Store) -> None:
        service.add_user(store, "bob", Role.MEMBER, ANN)
        assert roles(store) == {"ann": Role.ADMIN, "bob": Role.MEMBER}


STEERING: dict[str, tuple[State, Callable[..., object]]] = {
    "cancel": (State.RUNNING, service.request_cancel),
    "pause": (State.RUNNING, service.request_pause),
    "yield": (State.RUNNING, service.request_yield),
    "remove": (State.SUCCEEDED, service.remove),
    "resume": (State.PAUSED, service.resume),
    "retry": (State.FAILED, service.retry),
}


class TestSteering:
    @pytest.mark.parametrize("doing", STEERING)
    def test_members_steer_their_own_jobs_only(self, queue: JobQueue, doing: str) -> None:
        service.add_user(queue.store, "root", Role.ADMIN, Principal("root-of-all"))
        state, function = STEERING[doing]
        claim = queue.in_state(state)
        before = queue.snapshot()
        with pytest.raises(ForbiddenError) as caught:
            function(queue.store, claim.job_id, BOB)
        name = queue.job(claim.job_id).name
        assert str(caught.value) == (
            f"bob may not {doing} job {claim.job_id} ({name}) of ann; only ann and admins "
            "(root-of-all, root) may"
        )
        assert queue.snapshot() == before
        function(queue.store, claim.job_id, ANN)

    @pytest.mark.parametrize("doing", STEERING)
    def test_admins_steer_everybodys(self, queue: JobQueue, doing: str) -> None:
        service.add_user(queue.store, "bob", Role.ADMIN, Principal("root"))
        state, function = STEERING[doing]
        function(queue.store, queue.in_state(state).job_id, BOB)

    def test_a_disabled_admin_has_no_rights_of_an_admin(self, queue: JobQueue) -> None:
        service.add_user(queue.store, "bob", Role.ADMIN, CHEN)
        service.set_disabled(queue.store, "bob", True, CHEN)
        with pytest.raises(ForbiddenError, match=r"only ann and admins \(chen\) may"):
            service.request_cancel(queue.store, queue.submit().id, BOB)

    def test_only_admins_drain_workers(self, queue: JobQueue) -> None:
        worker = queue.worker()
        enqueue(queue.store, ANN)
        with pytest.raises(ForbiddenError, match=r"bob may not drain workers; only admins \(ann\)"):
            service.drain(queue.store, worker.name, BOB)
        assert [view.id for view in service.drain(queue.store, worker.name, ANN)] == [worker.id]


class TestCorpora:
    def test_of_others_are_neither_replaced_nor_removed(self, store: Store) -> None:
        enqueue(store, CHEN)
        service.add_corpus(store, "songs", LA, "a file", ANN)
        with pytest.raises(ForbiddenError, match="bob may not replace corpus 'songs' of ann"):
            service.add_corpus(store, "songs", DO, "a file", BOB)
        with pytest.raises(ForbiddenError, match="bob may not remove corpus 'songs' of ann"):
            service.remove_corpus(store, "songs", BOB)
        assert service.corpus_text(store, "songs") == LA
        service.add_corpus(store, "songs", LA, "a file", BOB)  # changes nothing
        service.remove_corpus(store, "songs", CHEN)


class TestActingForOthers:
    def test_an_admin_submits_for_a_member(self, store: Store) -> None:
        service.add_user(store, "bob", Role.MEMBER, ANN)
        job_id = enqueue(store, Principal("ann", "bob"))
        assert service.find(store, str(job_id)).owner == "bob"
        assert service.find(store, "@last", Principal("ann", "bob")).id == job_id
        service.request_pause(store, job_id, Principal("ann", "bob"))
        actors = [event.actor for event in service.details(store, job_id).events]
        assert actors == ["ann for bob"] * 2

    def test_a_member_does_not(self, store: Store) -> None:
        job_id = enqueue(store, ANN)
        for_ann = Principal("bob", "ann")
        with pytest.raises(ForbiddenError, match="bob may not act for ann"):
            enqueue(store, for_ann)
        with pytest.raises(ForbiddenError, match="bob may not act for ann"):
            service.request_cancel(store, job_id, for_ann)
        assert enqueue(store, Principal("bob", "bob"))

    def test_for_somebody_unknown_is_refused(self, store: Store) -> None:
        enqueue(store, ANN)
        with pytest.raises(UnknownNameError, match="no user named 'bobb'; known: ann"):
            enqueue(store, Principal("ann", "bobb"))
