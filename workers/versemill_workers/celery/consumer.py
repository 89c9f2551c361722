"""The Celery consumer of a worker. It reconnects after every error and drops unknown messages.

A message only says that there may be work. So after any error the consumer reconnects, and it
drops whatever is not exactly such a message, with one line in the log. Running jobs are not
affected.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import kombu.matcher
import kombu.message
from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.control import Panel, nok

from versemill.jobs import celery_client
from versemill.redaction import shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from celery import Celery
    from kombu.connection import Connection
    from kombu.message import Message

logger = logging.getLogger("versemill.worker")

TRANSPORT = {
    "socket_connect_timeout": 3.0,
    # Bounds every answer but that of the blocking pop, which the event loop waits for.
    "socket_timeout": 5.0,
    "socket_keepalive": True,
    # A blocking pop that was not answered in time is dropped after one to two of these.
    "health_check_interval": 5,
    # Nothing is lost with a message, so none is kept in Redis until it is acknowledged.
    "ack_emulation": False,
}
"""Options of the connection to Redis: no wait on a half-open connection is unlimited."""

RETRY_SECONDS = 5.0
WATCH_SECONDS = 5.0
MESSAGE_BYTES = 10_000
MAX_PARSED_LENGTH = 100_000
"""Bytes, or characters, beyond which a message is dropped without having been parsed."""
_DROPPED = "dropped a message that is not one of Versemill's"

READ_ONLY_COMMANDS = frozenset(
    (
        *("active", "active_queues", "clock", "conf", "ping", "query_task", "registered"),
        *("reserved", "revoked", "scheduled", "stats"),
        *("disable_events", "enable_events", "heartbeat"),
    )
)
"""The remote commands that only read, for `celery inspect` and Flower."""


class WorkerConsumer(Consumer):  # type: ignore[misc]
    """Receives messages until the worker ends.

    Args:
        has_free_slot: whether the worker could take a job now.
    """

    connection: Any
    """A `Connection`, or None while there is none; Celery sets it."""

    def __init__(self, *args: Any, has_free_slot: Callable[[], bool], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Celery ends the worker on errors it does not know, such as those of a malformed message.
        self.connection_errors: tuple[type[Exception], ...] = (Exception,)
        self.received = 0
        """Messages that have arrived, of whatever kind."""
        self._has_free_slot = has_free_slot
        self._broker = shown(self.app.conf.broker_url)

    def start(self) -> None:
        """Connects and receives messages, and reconnects, until the worker ends."""
        if self.hub is not None:
            threading.Thread(target=self._watch, name="watch", daemon=True).start()
        super().start()

    def ensure_connected(self, conn: Connection) -> Connection:
        """Tries every few seconds without limit, and logs the first failure."""
        away = False

        def note(error: Exception, _interval: float) -> None:
            nonlocal away
            if not away:
                logger.warning(
                    "broker %s does not answer (%s); looking for jobs in the database alone",
                    *(self._broker, _brief(error)),
                )
            away = True

        conn.ensure_connection(  # type: ignore[no-untyped-call]
            note,
            interval_start=1,
            interval_step=1,
            interval_max=RETRY_SECONDS,
            callback=state.maybe_shutdown,
        )
        return conn

    def on_ready(self) -> None:
        """Called whenever a new connection is ready."""
        super().on_ready()
        if self.hub is not None:
            logger.info("broker %s: listening", self._broker)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Replaces several lines by one that does not say what a message held."""
        logger.warning("broker %s: %s; connecting anew", self._broker, _brief(exc))

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Closes the connection, so that `start` makes a new one; running jobs go on."""
        self.on_connection_error_before_connected(exc)
        connection, self.connection = self.connection, None
        for close in (connection.collect, connection.close):
            with suppress(Exception):
                close()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Message], None]:
        """What is called with each message."""
        take = super().create_task_handler(*args, **kwargs)

        def on_message(message: Message) -> None:
            self.received += 1
            if _is_wake_up(message):
                take(message)
            else:
                self._drop(message)

        return on_message

    def on_decode_error(self, message: Message, exc: Exception) -> None:  # noqa: ARG002
        """Called with a message that kombu has found unreadable, which Celery would log."""
        self._drop(message)

    def _drop(self, message: Message) -> None:
        logger.warning(_DROPPED)
        message.ack_log_error(logger, self.connection_errors)  # type: ignore[no-untyped-call]

    def reconnect(self, why: str) -> None:
        """Makes the consumer's own thread drop its connection and make a new one."""

        def drop() -> None:
            raise ConnectionError(why)

        self.hub.call_soon(drop)

    def _watch(self) -> None:
        """Reconnects when messages wait at the broker though this worker could take them.

        The connection may seem healthy and still deliver nothing, for whatever reason.
        """
        received_before: int | None = None
        while True:
            time.sleep(WATCH_SECONDS)
            waiting = self._has_free_slot() and self._messages_wait()
            if waiting and received_before == self.received:
                self.reconnect("messages wait, and none arrives")
                waiting = False
            received_before = self.received if waiting else None

    def _messages_wait(self) -> bool:
        """Asks over a connection of its own, since the consumer's may be the broken one."""
        try:
            with self.app.connection_for_read() as connection:
                found = connection.default_channel.queue_declare(
                    queue=celery_client.QUEUE, durable=True, auto_delete=False
                )
                return bool(found.message_count)
        except Exception:  # noqa: BLE001 - the consumer reports a broker that is unreachable
            return False


def disable_message_restore() -> None:
    """Makes this process drop the messages it holds when it loses Redis: they carry no job.

    kombu would send them back, and where it cannot, write them to a file in pickle.
    """
    from kombu.transport.redis import Channel  # only where there is Redis

    Channel.do_restore = False


def refuse_compression() -> None:
    """Makes kombu refuse compressed messages in this process.

    It would decompress them before anything else, and a few kilobytes can become gigabytes.
    """
    kombu.message.decompress = _refuse_compressed  # type: ignore[attr-defined]


def _refuse_compressed(_body: object, _compression: object) -> NoReturn:
    raise ValueError("compressed")


def drop_long_messages(app: Celery) -> None:
    """Makes the app's transport leave long messages unparsed in this process.

    As JSON, 100 MB of brackets become gigabytes of lists. Transports that do not parse messages
    themselves are left as they are.
    """
    transport = app.connection_for_read().get_transport_cls()
    module: Any = importlib.import_module(transport.__module__)
    parse = getattr(module, "loads", None)
    if parse is not None and not isinstance(parse, _BoundedParser):
        module.loads = _BoundedParser(parse)


class _BoundedParser:
    """Parses a message of the transport's; one that is too long becomes an empty message."""

    def __init__(self, parse: Callable[[str | bytes], Any]) -> None:
        self._parse = parse

    def __call__(self, message: str | bytes) -> Any:
        if len(message) <= MAX_PARSED_LENGTH:
            return self._parse(message)
        delivery = {"exchange": "", "routing_key": celery_client.QUEUE}
        return {"body": "", "properties": {"delivery_tag": "too long", "delivery_info": delivery}}


def refuse_commands() -> None:
    """Makes Celery's remote control refuse all commands but those that only read, in this process.

    Otherwise anybody who can reach the broker could end workers, connect them to other queues
    or make them write files. A regular expression cannot select workers, because matching one
    can take very long.
    """
    kombu.matcher.register("pcre", lambda *_: False)
    for name in set(Panel.data) - READ_ONLY_COMMANDS:
        Panel.data[name] = _refuse


def _refuse(_state: object, **_: object) -> dict[str, str]:
    return dict(nok("workers answer questions only; use `versemill`"))


def _is_wake_up(message: Message) -> bool:
    """Whether this is the message that `celery_client.wake` sends, and nothing more."""
    try:
        headers = message.headers
        if (
            message.content_type != "application/json"
            or len(message.body) + len(repr(headers)) > MESSAGE_BYTES
            or headers["task"] != celery_client.TASK
            or headers.get("eta")
            or headers.get("expires")
        ):
            return False
        args, kwargs, embedded = message.payload  # decoded only now
        return (args, kwargs) == ([], {}) and not any(embedded.values())
    except Exception:  # noqa: BLE001 - anything can be sent
        return False


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:200]
