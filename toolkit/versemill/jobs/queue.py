"""The Celery client: a message that says "there may be work", and nothing else.

The database is the queue of record. A message carries no job, so that losing, doubling or
reordering it changes nothing but latency.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from versemill.errors import ConfigError
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
HIDDEN = "***"
_SAFE = "the job is safe, workers find it within seconds"

_log = logging.getLogger(__name__)


def app(broker_url: str) -> Celery:
    """A Celery application as client and workers share it: JSON only, no results.

    Workers add their pool and their task; see `versemill_workers`. Nothing is connected yet.

    Raises:
        ConfigError: the URL cannot be one of a broker's.
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
        enable_utc=True,
    )
    try:
        made.connection_for_write().transport  # noqa: B018 - parses the URL, imports the client
    except Exception:  # noqa: BLE001 - transports raise whatever they like
        raise _malformed(broker_url) from None  # what was raised may quote the password
    if shown(broker_url) == HIDDEN:
        raise _malformed(broker_url)
    return made


def wake(settings: Settings, *, warn: Callable[[str], None] | None = None) -> Callable[[], None]:
    """What `service.submit` calls after its commit.

    Args:
        settings: says which broker; with the embedded `memory://` there is nobody to tell, and
            Celery is not even imported.
        warn: gets one line, without secrets, when the message could not be sent; a log entry
            by default.

    Returns:
        A function that sends one message, tries for `SEND_SECONDS` at most, and never raises.
    """
    if settings.embedded:
        return lambda: None
    tell = warn or _log.warning

    def send() -> None:
        try:
            _send(settings.broker_url)
        except ConfigError as error:
            tell(f"{error}; {_SAFE}")
        except Exception as error:  # noqa: BLE001 - transports raise whatever they like
            tell(f"broker {shown(settings.broker_url)} did not answer: {_reason(error)}; {_SAFE}")

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


def _malformed(broker_url: str) -> ConfigError:
    allowed = (
        "a URL such as redis://:password@host:6379/0, "
        "with / in the password written %2F, @ %40, # %23 and ? %3F"
    )
    return ConfigError(BROKER_URL, shown(broker_url), allowed)


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error  # Celery's own error around the client's
    return str(cause).partition("\n")[0][:200] or type(cause).__name__


def shown(broker_url: str) -> str:
    """The URL's scheme, host and port, without secrets; `HIDDEN` if they cannot be told apart."""
    try:
        parts = urlsplit(broker_url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return HIDDEN
    # An @ further on: a / in the password made its first half look like host and port.
    if "@" in parts.path + parts.query + parts.fragment:
        return HIDDEN
    return f"{parts.scheme}://{parts.hostname or ''}{port}"
