"""Roles, limits and disabled users, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from people import ANN, BOB
from versemill.errors import ConfigError, ForbiddenError, UnknownNameError
from versemill.jobs import service
from versemill.jobs.execution import worker_api
from versemill.jobs.service import Principal
from versemill.jobs.states import Role, State

if TYPE_CHECKING:
    from job_queue import JobQueue
    from versemill.jobs.storage.unit_of_work import Store


class TestRoles:
    def test_the_last_admin_stays(self, store: Store) -> None:
        service.add_user(store, "bob", Role.ADMIN, ANN)
        service.set_disabled(store, "bob", True, ANN)
        for change in (
            lambda: service.set_role(store, "ann", Role.MEMBER, ANN),
            lambda: service.set_disabled(store, "ann", True, ANN),
        ):
            with pytest.raises(ForbiddenError, match="ann is the last admin") as caught:
                change()
            assert caught.value.reason == "last-admin"
        service.set_disabled(store, "bob", False, ANN)
        assert service.set_role(store, "ann", Role.MEMBER, ANN).role is Role.MEMBER

    def test_two_admins_who_demote_each_other_leave_one(self, store: Store) -> None:
        service.add_user(store, "bob", Role.ADMIN, ANN)

        def demote(pair: tuple[str, Principal]) -> bool:
            try:
                service.set_role(store, pair[0], Role.MEMBER, pair[1])
            except ForbiddenError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(demote, [("ann", BOB), ("bob", ANN)]))
        assert sorted(done) == [False, True]
        assert [u.role for u in service.list_users(store)].count(Role.ADMIN) == 1

    def test_members_change_nothing(self, store: Store) -> None:
        service.add_user(store, "bob", Role.MEMBER, ANN)
        before = service.list_users(store)
        for change in (
            lambda: service.add_user(store, "eve", Role.MEMBER, BOB),
            lambda: service.set_role(store, "bob", Role.ADMIN, BOB),
            lambda: service.set_limits(store, "bob", {"urgent": None}, BOB),
            lambda: service.set_disabled(store, "ann", True, BOB),
        ):
            with pytest.raises(ForbiddenError, match=r"only admins \(ann\) may"):
                change()
        assert service.list_users(store) == before

    @pytest.mark.parametrize("name", ["", "two words", "-x", "n" * 65])
    def test_malformed_names(self, store: Store, name: str) -> None:
        with pytest.raises(ConfigError, match="1 to 64 characters without spaces"):
            service.add_user(store, name, Role.MEMBER, ANN)

    def test_a_name_is_given_once_however_it_is_spelled(self, store: Store) -> None:
        service.add_user(store, "Zoe\u0308", Role.MEMBER, ANN)
        with pytest.raises(ConfigError, match="a name that no user has yet"):
            service.add_user(store, "Zo\u00eb", Role.MEMBER, ANN)

    def test_unknown_users(self, store: Store) -> None:
        with pytest.raises(UnknownNameError, match="no user named 'bob'; known: ann"):
            service.set_role(store, "bob", Role.ADMIN, ANN)


class TestLimits:
    def test_are_set_one_by_one_and_lifted(self, store: Store) -> None:
        service.add_user(store, "bob", Role.MEMBER, ANN)
        service.set_limits(store, "bob", {"running": 2, "urgent": 1}, ANN)
        user = service.set_limits(store, "bob", {"gpus": 0, "urgent": None}, ANN)
        limits = (user.running_limit, user.queued_limit, user.gpu_limit, user.urgent_limit)
        assert limits == (2, None, 0, None)

    @pytest.mark.parametrize("limit", [-1, 2**31])
    def test_out_of_range(self, store: Store, limit: int) -> None:
        with pytest.raises(ConfigError, match="limit running"):
            service.set_limits(store, "ann", {"running": limit}, ANN)

    def test_below_what_runs_only_keeps_new_ones_from_starting(self, queue: JobQueue) -> None:
        claim = queue.running()
        user = service.set_limits(queue.store, "ann", {"running": 0}, ANN)
        assert (user.running, user.running_limit) == (1, 0)
        worker_api.renew(queue.store, claim)  # goes on
        waits = queue.submit()
        assert worker_api.claim(queue.store, queue.worker()) is None
        service.set_limits(queue.store, "ann", {"running": None}, ANN)
        started = worker_api.claim(queue.store, queue.worker())
        assert started is not None
        assert started.job_id == waits.id


class TestDisabledUsers:
    def test_their_jobs_are_held_and_what_runs_goes_on(self, queue: JobQueue) -> None:
        root = Principal("root")
        service.add_user(queue.store, "eve", Role.MEMBER, root)
        runs, waits = queue.running(), queue.submit()
        service.set_disabled(queue.store, "ann", True, root)
        worker_api.renew(queue.store, runs)
        assert worker_api.claim(queue.store, queue.worker()) is None
        service.set_disabled(queue.store, "ann", False, root)
        started = worker_api.claim(queue.store, queue.worker())
        assert started is not None
        assert started.job_id == waits.id

    def test_add_nothing_nor_do_others_for_them(self, queue: JobQueue) -> None:
        root = Principal("root")
        service.add_user(queue.store, "ann", Role.MEMBER, root)
        paused, failed = queue.in_state(State.PAUSED), queue.in_state(State.FAILED)
        service.set_disabled(queue.store, "ann", True, root)
        for add in (
            queue.submit,
            lambda: service.resume(queue.store, paused.job_id, ANN),
            lambda: service.retry(queue.store, failed.job_id, root),
        ):
            with pytest.raises(ForbiddenError, match="ann is disabled") as caught:
                add()
            assert caught.value.reason == "disabled"
        assert service.request_cancel(queue.store, paused.job_id, ANN) is State.CANCELLED
