"""Starts a worker: options, registration, fork server, slots, Celery."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import forkserver
from typing import TYPE_CHECKING

from versemill.errors import DatabaseError, VersemillError
from versemill.files import PRIVATE_UMASK
from versemill.jobs.execution import worker_api
from versemill.jobs.storage.filesystems import refuse_network_filesystem
from versemill.jobs.storage.libpq_environment import PREFIX, with_libpq_environment
from versemill.jobs.storage.unit_of_work import Store
from versemill.redaction import RedactingFormatter, holds_secret
from versemill.settings import HARMLESS, Settings, bound_spinning
from versemill_workers.devices import places
from versemill_workers.messenger import Messenger
from versemill_workers.slots import SlotPool
from versemill_workers.supervisor.spool import remove_abandoned, spool_lock
from versemill_workers.trainer import entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.context import ForkServerContext


logger = logging.getLogger("versemill.worker")

_RETRY_SECONDS = 1.0
OTHER_CONNECTIONS = 3  # beside one per slot: the poller, the claims and the messenger
_SOCKET = "/pymp-xxxxxxxx/listener-xxxxxxxx"  # where, below it, the fork server listens
_SOCKET_BYTES = 103  # longest path of a socket on macOS; Linux allows 107
_SHORT = ("/tmp", "/var/tmp")  # noqa: S108 - what is made in them has a random name and mode 700


def serve(arguments: Sequence[str]) -> None:
    """Runs a worker in this process until it is asked to end.

    Raises:
        VersemillError: a wrong option, or a database that cannot be used.
    """
    options = _parser().parse_args(arguments)
    os.umask(PRIVATE_UMASK)  # what trainers and trackers write, too, is nobody else's to read
    settings = Settings.from_environment()
    database_url = with_libpq_environment(settings.database_url)
    settings = replace(settings, database_url=database_url)
    _log_without_secrets(settings)
    found = places(options.devices, options.slots, avoid_foreign=options.avoid_foreign)
    _remove_secrets(settings)
    context = _fork_server()
    store = Store.open(settings.database_url, connections=found.slots + OTHER_CONNECTIONS)
    if store.database.path is not None:
        refuse_network_filesystem(store.database.path)
    version = importlib.metadata.version("versemill")
    end_requested = threading.Event()
    _install_signal_handlers(end_requested)  # from here on there is something to take back
    worker = worker_api.register_worker(
        store,
        options.name,
        found.slots,
        version=version,
        labels=tuple(sorted(set(options.label))),
        only_job=options.only,
    )
    slot_pool = SlotPool(
        settings, store, worker, found, context, handing_over=end_requested, only=options.only
    )
    if options.end_with_parent:
        threading.Thread(target=_end_with_parent, args=(slot_pool,), daemon=True).start()
    threading.Thread(target=_warm_up, args=(slot_pool,), daemon=True).start()
    messenger = Messenger(store)
    messenger.start()
    spool = settings.home / "spool"
    try:
        with spool_lock(spool, worker.id):
            remove_abandoned(spool)
            _run_celery(settings, slot_pool, slots=found.slots, name=options.name)
    finally:
        messenger.stop()
        with contextlib.suppress(DatabaseError):  # others will see that it is gone
            worker_api.forget_worker(store, worker)
        store.close()


def _log_without_secrets(settings: Settings) -> None:
    """Sends records to stderr, and what ends a thread or the process with a traceback too."""
    handler = logging.StreamHandler(sys.stderr)
    urls = (settings.database_url, settings.broker_url)
    handler.setFormatter(RedactingFormatter(urls, "%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("versemill").setLevel(logging.INFO)
    sys.excepthook = lambda *error: logger.critical("the worker breaks off", exc_info=error)
    threading.excepthook = _log_end_of_thread


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    name = ended.thread.name if ended.thread else "unknown"
    error = ended.exc_value or ended.exc_type()
    logger.error("thread %s breaks off", name, exc_info=error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="versemill worker")
    parser.add_argument("--slots", type=int, default=None, help="jobs at a time")
    parser.add_argument("--devices", default="auto", help="auto, cpu, or GPU indices like 0,2")
    parser.add_argument("--name", default=socket.gethostname(), help="a label for people")
    parser.add_argument("--label", action="append", default=[], help="what jobs may ask for")
    parser.add_argument("--avoid-foreign", action="store_true", help="leave used GPUs alone")
    parser.add_argument("--only", type=int, default=None, help="work on this job, then end")
    parser.add_argument("--end-with-parent", action="store_true", help="end when stdin closes")
    return parser


def _remove_secrets(settings: Settings) -> None:
    """Removes from the environment whatever leads to the database or the broker.

    Trainers and trackers inherit the rest; a fork server that is started again does, too.
    """
    urls = (settings.database_url, settings.broker_url)
    for name, value in list(os.environ.items()):
        ours = name.startswith("VERSEMILL_") and name not in HARMLESS
        if ours or name.startswith(PREFIX) or holds_secret(value, *urls):
            del os.environ[name]


def _fork_server() -> ForkServerContext:
    """A context whose trainers are forked from a process that has imported torch."""
    bound_spinning()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(entry.PRELOADED)
    with _short_temporary_folder():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's alone
        forkserver.ensure_running()
        signal.signal(signal.SIGINT, before)
    return context


@contextmanager
def _short_temporary_folder() -> Iterator[None]:
    """While the block lasts, the temporary folder's path is short enough for a socket in it.

    multiprocessing makes a folder of its own there the first time, and keeps to that one until
    the process ends, also when it starts another fork server. Whatever else is temporary goes
    where it always does. Newer Pythons look for a short folder themselves (gh-132124).

    Raises:
        VersemillError: the path is too long, and no short one can be written to.
    """
    usual = tempfile.gettempdir()
    if len(os.fsencode(usual + _SOCKET)) > _SOCKET_BYTES:
        tempfile.tempdir = _short_folder(usual)
    try:
        yield
    finally:
        tempfile.tempdir = usual


def _short_folder(usual: str) -> str:
    for folder in _SHORT:
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    most = _SOCKET_BYTES - len(_SOCKET)
    raise VersemillError(
        f"the path of the temporary folder {usual} is too long for a socket in it (at most {most} "
        f"bytes), and {' and '.join(_SHORT)} cannot be written to; set TMPDIR to a shorter one"
    )


def _install_signal_handlers(end_requested: threading.Event) -> None:
    """Has the first signal set `end_requested`, and the second end this process at once.

    Until `app.serve` has its own handlers: importing Celery takes a while, and a worker that is
    asked to end meanwhile would stay on the list, and its files where they are.
    """

    def note(*_: object) -> None:
        if end_requested.is_set():
            os._exit(1)
        end_requested.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)


def _warm_up(slot_pool: SlotPool) -> None:
    """Lets the slots claim jobs once the fork server has imported all it should.

    A job claimed before would hold a lease that nothing renews until its trainer is started. This
    also finds out what kind of machine each device makes.
    """
    while not slot_pool.handing_over.is_set():
        try:
            slot_pool.open_slots()
        except (OSError, EOFError) as error:  # the fork server has died; the next try starts it
            logger.warning("cannot start a trainer: %s; trying again", error)
            slot_pool.handing_over.wait(_RETRY_SECONDS)
        else:
            return


def _run_celery(settings: Settings, slot_pool: SlotPool, *, slots: int, name: str) -> None:
    from versemill_workers.celery import app  # late: the fork server imports torch meanwhile

    app.serve(app.build(settings.broker_url, slot_pool), slot_pool, slots=slots, name=name)


def _end_with_parent(slot_pool: SlotPool) -> None:
    """Waits until the process that started this one has ended or closed the pipe."""
    while os.read(0, 4096):
        pass
    slot_pool.ask_to_end()
