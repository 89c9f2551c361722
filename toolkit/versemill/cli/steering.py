"""How commands steer jobs that are named one by one, or all jobs of an array."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from versemill.cli.installation import note, note_all, note_queued, note_waiting
from versemill.cli.terminal.output import say
from versemill.cli.terminal.wording import asked, label
from versemill.errors import VersemillError
from versemill.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from versemill.cli.installation import Installation
    from versemill.jobs.service import JobsMeant, Principal, Queued, Wake
    from versemill.jobs.states import State
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.jobs.views import JobView

T = TypeVar("T")


def request(
    here: Installation,
    keys: Iterable[str],
    ask: Callable[[Store, int, Principal], State],
    participle: str,
) -> int:
    """Asks something of jobs, and says what became of it; see `_each`.

    Args:
        here: the installation.
        keys: what jobs and arrays are called.
        ask: asks one job, and returns its state then.
        participle: what the jobs will be.

    Returns:
        The exit code.
    """

    def one(job: JobView) -> State:
        return ask(here.store, job.id, here.principal)

    def outcome(state: State) -> str:
        return f"will be {participle} after a checkpoint" if state == "running" else str(state)

    meant = [here.jobs(key) for key in keys]
    return _each(
        meant, one, tell=lambda job, state: say(asked(job, state, participle)), sum_up=outcome
    )


def requeue(here: Installation, key: str, again: Callable[[JobView, Wake], Queued]) -> int:
    """Queues a job again, or all of an array, and says so; see `_each`.

    Args:
        here: the installation.
        key: what the job or the array is called.
        again: queues one job, and wakes workers.

    Returns:
        The exit code.
    """
    return _changed(
        here,
        key,
        again,
        tell=lambda _, queued: note_queued(here, queued),
        sum_up=lambda _: "queued",
    )


def prioritize(here: Installation, key: str, change: Callable[[JobView, Wake], Queued]) -> int:
    """Changes the priority of a job, or of all of an array; arguments, result as for `requeue`."""

    def tell(_: JobView, queued: Queued) -> None:
        note_all(queued.notices)
        say(f"{label(queued.job)} has priority {queued.job.priority}")
        note_waiting(here, queued.job)

    return _changed(
        here, key, change, tell=tell, sum_up=lambda queued: f"with priority {queued.job.priority}"
    )


def _changed(
    here: Installation,
    key: str,
    change: Callable[[JobView, Wake], Queued],
    *,
    tell: Callable[[JobView, Queued], None],
    sum_up: Callable[[Queued], str],
) -> int:
    """Changes jobs that wait; workers are woken once, also for an array."""
    from versemill.jobs.service.waking import no_wake

    meant = here.jobs(key)
    if meant.array is None:
        return _each([meant], lambda job: change(job, here.wake), tell=tell, sum_up=sum_up)
    code = _each([meant], lambda job: change(job, no_wake), tell=tell, sum_up=sum_up)
    trouble = here.wake()
    note_all(() if trouble is None else (trouble,))
    return code


def remove(here: Installation, meant: Iterable[JobsMeant]) -> int:
    """Removes jobs, later ones first since they may wait for earlier ones, and says so.

    Returns:
        The exit code.
    """
    from versemill.jobs import service

    seen: dict[int, None] = {}

    def one(job: JobView) -> None:
        if job.id not in seen:
            seen[job.id] = None
            service.remove(here.store, job.id, here.principal)

    ordered = sorted(meant, key=lambda each: -each.jobs[-1].id)
    ordered = list({(each.array, each.jobs[0].id): each for each in ordered}.values())
    return _each(
        ordered,
        one,
        tell=lambda job, _: say(f"removed {label(job)}"),
        sum_up=lambda _: "removed",
    )


def _each(
    meant: Iterable[JobsMeant],
    act: Callable[[JobView], T],
    *,
    tell: Callable[[JobView, T], None],
    sum_up: Callable[[T], str],
) -> int:
    """Does something to each job.

    Of an array every member is tried, and those that could not are told on stderr.

    Args:
        meant: jobs and arrays.
        act: does it to one job.
        tell: says what became of a job that was named by itself.
        sum_up: what became of a job, in a word or two; for an array these are counted.

    Returns:
        The exit code: 1 if members of an array could not.

    Raises:
        VersemillError: it cannot be done to a job that was named by itself.
    """
    code = 0
    for each in meant:
        if each.array is None:
            tell(each.jobs[0], act(each.jobs[0]))
        elif not _array(each, act, sum_up):
            code = 1
    return code


def _array(meant: JobsMeant, act: Callable[[JobView], T], sum_up: Callable[[T], str]) -> bool:
    """Whether every member could."""
    from versemill.cli.terminal.advice import with_advice

    outcomes: Counter[str] = Counter()
    refused = 0
    for job in meant.jobs:
        try:
            outcomes[sum_up(act(job))] += 1
        except VersemillError as error:
            refused += 1
            note(with_advice(error))
    parts = [f"{number:,} {outcome}" for outcome, number in outcomes.items()]
    parts += [f"{refused:,} could not"] if refused else []
    say(f"array {meant.array}, {counted(len(meant.jobs), 'job')}: {', '.join(parts)}")
    return refused == 0
