"""The messages between a supervisor and its trainer: JSON over a pipe, files in a spool folder.

The trainer sends: `progress`, `report`, `checkpoint`, `remark` (an event of the job, no sign that
it trains), `unreadable` (the checkpoint to go on from), `plugin_mismatch` (its plugins are not
those that the job needs), `provenance` (with what it computes, once), `finished`, `stopped`,
`failed`.
The supervisor sends: `alive`, `stored` (a checkpoint is durable), `stop` (checkpoint, then end),
`halt` (checkpoint, then wait: for `stop`, or for `go_on`), `time_up` (end as at the last step).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from types import TracebackType

    from versemill.config.validation import JSONValue

MESSAGE_LIMIT = 16 * 1024 * 1024
"""Longest message received, in bytes."""

HEARTBEAT_SECONDS = 2.0

Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Order:
    """All that a trainer needs to know, as JSON.

    Attributes:
        job: the job's number.
        name: the job's name.
        attempt: number of the attempt.
        config: the job, as `JobConfig.to_json` gives it.
        spool: the attempt's own folder; checkpoints are handed over there.
        text: file in `spool` that holds the corpus.
        output: file in `spool` that takes what the trainer prints.
        resume: file in `spool` that holds the checkpoint to go on from; None to begin.
        inexact: allow another kernel plan on resume.
        requirements: what the job requires of plugins (`requirements.to_json`).
        accepted_by: who allows other versions of them on resume; None if nobody does.
        device: `cpu` or `cuda`.
        environment: variables to set before anything is computed.
        threads: CPU threads of one operation.
        checkpoint_seconds: time between checkpoints.
        tracking: folder for the job's trackers.
        lease_seconds: the trainer ends itself when it has received nothing for so long.
        time_limit: most seconds of device time of the job, for its result; None for no limit.
    """

    job: int
    name: str
    attempt: int
    config: dict[str, JSONValue]
    spool: str
    text: str
    output: str
    resume: str | None
    inexact: bool
    requirements: list[dict[str, JSONValue]]
    accepted_by: str | None
    device: str
    environment: dict[str, str]
    threads: int
    checkpoint_seconds: int
    tracking: str
    lease_seconds: float
    time_limit: float | None = None

    def to_json(self) -> str:
        """The order as JSON text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Order:
        """Inverse of `to_json`."""
        return cls(**json.loads(text))


def send(pipe: Connection, message: Message) -> None:
    """Sends one message; raises `OSError` when the other side is gone."""
    pipe.send_bytes(json.dumps(message, ensure_ascii=False).encode())


def receive(pipe: Connection) -> Message:
    """Takes one message; raises `EOFError` or `OSError` when the other side is gone."""
    message = json.loads(pipe.recv_bytes(MESSAGE_LIMIT))
    if not isinstance(message, dict):
        raise OSError(f"not a message: {message!r}")
    return message


def describe_exit(exit_code: int | None) -> str:
    """How a trainer's process has ended."""
    if exit_code is None:
        return "not seen to end"
    if exit_code < 0:
        known = {number.value: f" ({number.name})" for number in signal.Signals}
        return f"killed by signal {-exit_code}{known.get(-exit_code, '')}"
    return f"exit code {exit_code}"


class SupervisorConnection:
    """The supervisor's end. A thread sends `alive` for as long as this process runs.

    So a trainer goes on however long the database keeps its supervisor waiting, and ends when
    the worker is frozen or dead.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._sending = threading.Lock()
        self._closed = threading.Event()
        threading.Thread(target=self._send_heartbeats, name="heartbeat", daemon=True).start()

    def __enter__(self) -> SupervisorConnection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed.set()
        with self._sending:
            self._pipe.close()

    def send(self, message_type: str) -> None:
        """Sends one message; none reaches a trainer that has just ended."""
        with self._sending, contextlib.suppress(OSError):
            send(self._pipe, {"type": message_type})

    def poll(self, seconds: float = 0.0) -> bool:
        """Whether there is something to receive, after waiting at most so long."""
        return self._pipe.poll(seconds)

    def receive(self) -> Message:
        """Takes one message; raises `EOFError` or `OSError` when the trainer is gone."""
        return receive(self._pipe)

    def _send_heartbeats(self) -> None:
        while not self._closed.is_set():
            self.send("alive")
            self._closed.wait(HEARTBEAT_SECONDS)


class TrainerConnection:
    """The trainer's end. A thread receives messages, so that a step never waits for the supervisor.

    Ends the process at once when the pipe closes, or when nothing was received for the length of
    a lease: by then another worker may have the job, and two must not train it at once.
    """

    def __init__(self, pipe: Connection, *, lease_seconds: float) -> None:
        self.stop_asked = threading.Event()
        self.halt_asked = threading.Event()
        self.time_up = threading.Event()
        self._changed = threading.Condition()
        self.outstanding = 0
        """Checkpoints handed over that are not durable yet."""
        self._pipe = pipe
        self._lease_seconds = lease_seconds
        self._sending = threading.Lock()
        threading.Thread(target=self._receive_messages, name="messages", daemon=True).start()

    def send(self, message_type: str, **content: JSONValue) -> None:
        """Sends one message."""
        with self._sending:
            if message_type == "checkpoint":
                self.outstanding += 1
            send(self._pipe, {"type": message_type, **content})

    def wait_halted(self) -> None:
        """Waits until the supervisor has told it to stop or to go on."""
        with self._changed:
            self._changed.wait_for(lambda: not self.halt_asked.is_set() or self.stop_asked.is_set())

    def _receive_messages(self) -> None:
        received_at = time.monotonic()
        while True:
            try:
                if self._pipe.poll(1.0):
                    self._handle(receive(self._pipe))
                    received_at = time.monotonic()
            except (EOFError, OSError):
                os._exit(70)
            if time.monotonic() - received_at > self._lease_seconds:
                os._exit(71)

    def _handle(self, message: Message) -> None:
        if message["type"] == "stored":
            with self._sending:
                self.outstanding -= 1
        elif message["type"] == "halt":
            self.halt_asked.set()
        elif message["type"] == "time_up":
            self.time_up.set()
        elif message["type"] in {"stop", "go_on"}:
            with self._changed:
                if message["type"] == "stop":
                    self.stop_asked.set()
                self.halt_asked.clear()
                self._changed.notify_all()
