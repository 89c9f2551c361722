"""The Celery side of a worker: an app whose only task says "there may be work".

JSON only, early acknowledgement, no result backend. A message carries no job id; losing, doubling
or reordering messages changes nothing but latency.
"""

from __future__ import annotations

import os
import signal
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import Celery, bootsteps
from celery.apps.worker import Worker
from celery.platforms import SecurityWarning
from celery.worker import state as celery_state

from versemill.jobs import celery_client
from versemill_workers.celery import consumer

if TYPE_CHECKING:
    from versemill_workers.slots import SlotPool


def build(broker_url: str, slot_pool: SlotPool) -> Celery:
    """A Celery app whose task runs the worker's slots and whose boot step starts the poller.

    Raises:
        ConfigError: the URL cannot be one of a broker's.
    """
    app = celery_client.app(broker_url)
    app.conf.worker_hijack_root_logger = False
    app.conf.worker_redirect_stdouts = False  # it would log a traceback letter by letter
    app.conf.worker_enable_prefetch_count_reduction = False  # take as many after a reconnect
    if broker_url.startswith("redis"):
        app.conf.broker_transport_options = consumer.TRANSPORT
        consumer.disable_message_restore()
    consumer.refuse_commands()
    consumer.refuse_compression()
    consumer.drop_long_messages(app)

    @app.task(name=celery_client.TASK)  # type: ignore[untyped-decorator]
    def work() -> None:
        slot_pool.work()

    class Polling(bootsteps.StartStopStep):  # type: ignore[misc]
        """Polls the database independently of the consumer, so that no broker is needed."""

        requires = frozenset({"celery.worker.components:Pool"})

        def start(self, parent: Any) -> None:
            slot_pool.start_polling(
                lambda: parent.pool.apply_async(slot_pool.work, callback=lambda _: None)
            )

        def stop(self, parent: Any) -> None:  # noqa: ARG002
            slot_pool.hand_over()

    app.steps["worker"].add(Polling)
    return app


def serve(app: Celery, slot_pool: SlotPool, *, slots: int, name: str) -> None:
    """Runs the worker in this thread until somebody asks it to end."""
    # Celery warns root of pickled messages; this app takes none.
    warnings.filterwarnings("ignore", category=SecurityWarning)

    class QueueWorker(Worker):  # type: ignore[misc]
        """A Celery worker whose first signal hands jobs over and whose second ends at once."""

        def install_platform_tweaks(self, worker: Any) -> None:  # noqa: ARG002
            """Replaces Celery's handlers, whose cold shutdown raises in the middle of anything."""
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: _asked_to_end(slot_pool))
            if slot_pool.handing_over.is_set():  # asked while it was starting
                celery_state.should_stop = 0

        def set_process_status(self, info: str) -> None:
            """Leaves the process title alone: no URL gets into it."""

    QueueWorker(
        app=app,
        hostname=f"{name}@{os.uname().nodename}",
        consumer_cls=partial(consumer.WorkerConsumer, has_free_slot=slot_pool.has_free_slot),
        pool="threads",
        concurrency=slots,
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    ).start()


def _asked_to_end(slot_pool: SlotPool) -> None:
    """Only sets flags: a signal may arrive in the middle of any operation."""
    if slot_pool.handing_over.is_set():
        slot_pool.end_now()
    slot_pool.handing_over.set()
    celery_state.should_stop = 0
