"""The Celery client: a message that says "there may be work", and nothing else.

The database is the queue of record. A message carries no job, so that losing, doubling or
reordering it changes nothing but latency.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

    from versemill.settings import Settings

TASK = "versemill.work"
QUEUE = "versemill"
SECONDS = 1.0

_log = logging.getLogger(__name__)


def app(broker_url: str) -> Celery:
    """A Celery application as client and workers share it: JSON only, no results.

    Workers add their pool and their task; see `versemill_workers`.
    """
    from celery import Celery

    made = Celery("versemill", broker=broker_url, set_as_current=False)
    made.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_default_queue=QUEUE,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker lives without a broker as long as it takes
        enable_utc=True,
    )
    return made


def wake(settings: Settings, *, warn: Callable[[str], None] | None = None) -> Callable[[], None]:
    """What `service.submit` calls after its commit.

    Args:
        settings: says which broker; with the embedded `memory://` there is nobody to tell, and
            Celery is not even imported.
        warn: gets one line, without secrets, when the message could not be sent; a log entry
            by default.

    Returns:
        A function that sends one message, tries for about a second, and never raises.
    """
    if settings.embedded:
        return lambda: None
    tell = warn or _log.warning

    def send() -> None:
        try:
            _send(settings.broker_url)
        except Exception as error:  # noqa: BLE001 - transports raise whatever they like
            tell(
                f"broker {_shown(settings.broker_url)} could not be reached "
                f"({type(error).__name__}); the job is safe, workers find it within seconds"
            )

    return send


def _send(broker_url: str) -> None:
    client = app(broker_url)
    options: dict[str, float] = {"max_retries": 0, "interval_start": 0, "interval_step": 0}
    if broker_url.startswith(("redis", "valkey")):
        options |= {"socket_connect_timeout": SECONDS, "socket_timeout": SECONDS}
        options |= {"retry_on_timeout": False}
    client.conf.broker_connection_timeout = SECONDS
    client.conf.broker_transport_options = options
    try:
        with client.connection_for_write() as connection:
            client.send_task(TASK, connection=connection, retry=False, ignore_result=True)
    finally:
        client.close()


def _shown(broker_url: str) -> str:
    try:
        parts = urlsplit(broker_url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "in VERSEMILL_BROKER_URL"
    return f"{parts.scheme}://{parts.hostname or ''}{port}"
