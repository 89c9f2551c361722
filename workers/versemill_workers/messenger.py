"""Sends messages to people, in a thread of its own that no job waits for."""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from typing import TYPE_CHECKING

from versemill.errors import VersemillError
from versemill.jobs import service

if TYPE_CHECKING:
    from versemill.jobs.storage.unit_of_work import Store

logger = logging.getLogger("versemill.worker")

LOOK_SECONDS = 5.0
WAITING_SECONDS = 60.0
_LAST_SECONDS = 20.0


class Messenger:
    """Looks every few seconds for messages that are due; does nothing without apprise.

    Args:
        store: where the messages are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="messenger", daemon=True)
        self._look_at_waiting = time.monotonic() + WAITING_SECONDS

    def start(self) -> None:
        """Starts the thread, if messages can be sent here."""
        if importlib.util.find_spec("apprise") is not None:
            self._thread.start()

    def stop(self) -> None:
        """Sends what is due for the last time, and ends; takes 20 seconds at most."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        last = False
        while not last:
            last = self._ending.wait(LOOK_SECONDS)
            try:
                self._send(last_at=time.monotonic() + _LAST_SECONDS / 2 if last else None)
            except VersemillError as error:
                logger.warning("cannot send messages: %s", error)
            except Exception:
                logger.exception("cannot send messages")

    def _send(self, *, last_at: float | None) -> None:
        if time.monotonic() >= self._look_at_waiting:
            self._look_at_waiting = time.monotonic() + WAITING_SECONDS
            service.record_waiting(self._store)
        while service.send_due(self._store) is not None:
            if last_at is not None and time.monotonic() >= last_at:
                return
