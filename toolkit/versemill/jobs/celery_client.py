"""The Celery client: a message that says "there may be work", and nothing else.

The database is the queue of record. A message carries no job, so that losing, doubling or
reordering it changes nothing but latency.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from versemill.errors import ConfigError
from versemill.jobs.notices import BrokerAway
from versemill.redaction import ENCODE, is_ambiguous, redacted, shown
from versemill.settings import BROKER_URL

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery

    from versemill.settings import Settings

TASK = "versemill.work"
QUEUE = "versemill"
STEP_SECONDS = 1.0
"""Longest wait for one answer of the broker's."""
SEND_SECONDS = 1.5
"""Longest wait for all of it, looking up the host's name included."""
_ALLOWED = "a URL such as redis://:password@host:6379/0"


def app(broker_url: str) -> Celery:
    """A Celery application as client and workers share it: JSON only, no results.

    Workers add their pool and their task; see `versemill_workers`. Nothing is connected yet.

    Raises:
        ConfigError: the URL cannot be one of a broker's, or nobody can tell which part of it is
            the password.
    """
    from celery import Celery

    if is_ambiguous(broker_url):
        raise ConfigError(BROKER_URL, shown(broker_url), f"{_ALLOWED}; {ENCODE}")
    made = Celery("versemill", broker=broker_url, set_as_current=False)
    made.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_default_queue=QUEUE,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        enable_utc=True,
    )
    try:
        made.connection_for_write().transport  # noqa: B018 - parses the URL, imports the client
    except Exception:  # noqa: BLE001 - transports raise whatever they like
        # What was raised may quote the password.
        raise ConfigError(BROKER_URL, shown(broker_url), _ALLOWED) from None
    return made


def wake(settings: Settings) -> Callable[[], BrokerAway | None]:
    """What use cases call once a job is queued: notifies workers that there may be work.

    Args:
        settings: says which broker; with the embedded `memory://` there is nobody to tell, and
            Celery is not even imported.

    Returns:
        A function that sends one message, tries for `SEND_SECONDS` at most, and never raises.
        It returns why the message could not be sent, None if it was.
    """
    if settings.embedded:
        return lambda: None

    def send() -> BrokerAway | None:
        try:
            _send(settings.broker_url)
        except ConfigError as error:
            return BrokerAway(reason=str(error))
        except Exception as error:  # noqa: BLE001 - transports raise whatever they like
            reason = redacted(_reason(error), settings.broker_url)
            where = shown(settings.broker_url)
            return BrokerAway(reason=f"broker {where} did not answer: {reason}")
        return None

    return send


def _send(broker_url: str) -> None:
    client = app(broker_url)
    options: dict[str, float] = {"max_retries": 0, "interval_start": 0, "interval_step": 0}
    if broker_url.startswith("redis"):
        options |= {"socket_connect_timeout": STEP_SECONDS, "socket_timeout": STEP_SECONDS}
        options |= {"retry_on_timeout": False}
    client.conf.broker_connection_timeout = STEP_SECONDS
    client.conf.broker_transport_options = options
    trouble: list[Exception] = []

    def publish() -> None:
        try:
            with client.connection_for_write() as connection:
                client.send_task(TASK, connection=connection, retry=False, ignore_result=True)
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            trouble.append(error)
        finally:
            client.close()

    # A thread, because nothing else bounds how long the system looks for a host's name.
    thread = threading.Thread(target=publish, name="wake", daemon=True)
    thread.start()
    thread.join(SEND_SECONDS)
    if thread.is_alive():
        raise TimeoutError(f"nothing for {SEND_SECONDS} s")
    if trouble:
        raise trouble[0]


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error  # Celery's own error around the client's
    return str(cause).partition("\n")[0][:200] or type(cause).__name__
