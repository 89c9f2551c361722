"""Supervises one attempt: starts its trainer, makes all its database writes, ends it.

One thread, one loop. What the trainer reports is written about once a second. A checkpoint is
uploaded chunk by chunk; between chunks the supervisor renews the lease and does its other work.
While the database is unreachable the trainer goes on and the rows are written later. When another
worker has the job, the trainer is killed and nothing more is written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from typing import TYPE_CHECKING, TypeVar

from versemill.errors import CheckpointError, DatabaseError, FencedError, RefusedDataError
from versemill.jobs.execution import worker_api
from versemill.jobs.states import FailureClass, Request, State
from versemill.plugins.record import records_from_json
from versemill.plugins.requirements import exactly, to_json
from versemill.redaction import redacted
from versemill_workers.devices import environment, torch_device
from versemill_workers.protocol import Order, SupervisorConnection, describe_exit
from versemill_workers.supervisor.checkpoint_upload import Upload
from versemill_workers.supervisor.memory import kernel_kills
from versemill_workers.supervisor.progress_buffer import ProgressBuffer
from versemill_workers.supervisor.spool import OUTPUT, Spool, tracking_folder
from versemill_workers.trainer import entry

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from multiprocessing.context import ForkServerContext

    from versemill.jobs.execution.worker_api import Claim
    from versemill.jobs.storage.unit_of_work import Store
    from versemill.settings import Settings
    from versemill_workers.protocol import Message

logger = logging.getLogger("versemill.worker")

STOP_SECONDS = 30.0
STALL_SECONDS = 600.0
REQUEST_SECONDS = 1.2
"""Longest time without reading what people want; most writes return it as well."""
OUTAGE_SECONDS = 1.0
_EXIT_SECONDS = 5.0
_TICK_SECONDS = 0.25

_ENDS = {
    Request.PREEMPT: (State.QUEUED, "pre-empted"),
    Request.CANCEL: (State.CANCELLED, "cancelled"),
    Request.PAUSE: (State.PAUSED, "paused"),
    Request.YIELD: (State.QUEUED, "handed over"),
}

T = TypeVar("T")


class Supervisor:
    """Takes one claim from its trainer's start to its end.

    Args:
        settings: where the spool is.
        store: the jobs.
        claim: the attempt.
        threads: CPU threads of one operation of its trainer.
        context: starts the trainer process.
        handing_over: set when this worker is to requeue its jobs.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        claim: Claim,
        threads: int,
        context: ForkServerContext,
        handing_over: threading.Event,
    ) -> None:
        self.plugin_mismatch = False
        """Whether this worker's plugins turned out not to be those that the job needs."""
        self._store = store
        self._claim = claim
        self._threads = threads
        self._context = context
        self._handing_over = handing_over
        self._checkpoint_seconds = settings.checkpoint_seconds
        self._tracking = tracking_folder(settings.tracking, claim)
        self._urls = (settings.database_url, settings.broker_url)
        self._spool = Spool(settings.home / "spool", claim)
        self._buffer = ProgressBuffer(store, claim, self._spool)
        self._uploads: list[Upload] = []
        self._stored = 0  # checkpoints that became durable, which the trainer does not know yet
        self._step = 0
        self._request = Request.NONE
        self._resumed: int | None = None  # the checkpoint it goes on from
        self._final_message: Message | None = None
        self._stop_by: float | None = None  # set once it was asked to stop
        self._halt_by: float | None = None  # set while it is asked to halt
        self._halted = False  # at a checkpoint that is durable
        self._declining = False
        self._stopped_for = Request.NONE
        self._killed_for: str | None = None
        self._pid: int | None = None
        self._kernel_kills = kernel_kills()
        now = time.monotonic()
        self._received_at = self._request_read_at = self._renewed_at = now
        self._retry_database_at = 0.0
        # None once the trainer was told, or if there is no limit.
        self._time_up_at = None if claim.seconds_left is None else now + claim.seconds_left

    def run(self) -> bool:
        """Supervises to the end; raises nothing that would take the worker down.

        Returns:
            False if the error may be this worker's rather than the job's.
        """
        job_id = self._claim.job_id
        try:
            with self._spool:
                self._supervise()
        except FencedError as error:
            logger.warning("%s", error)
        except RefusedDataError as error:
            logger.exception("job %d fails", job_id)
            self._give_up(FailureClass.USER, str(error))
        except DatabaseError as error:
            logger.warning("job %d is queued again when its lease expires: %s", job_id, error)
            return False
        except (OSError, EOFError) as error:
            # A full disk, no more processes, a fork server that died: an error of this machine,
            # never counted against the job.
            logger.exception("job %d: this worker is in trouble", job_id)
            self._hand_back(self._worker_error(error))
            return False
        except Exception as error:
            logger.exception("job %d: this worker is in trouble", job_id)
            self._give_up(FailureClass.INFRASTRUCTURE, self._worker_error(error))
            return False
        finally:
            self.kill()
        return True

    def kill(self) -> None:
        """Ends the trainer and whatever it started, at once."""
        if self._pid is None:
            return
        for end in (os.killpg, os.kill):  # it may not have made its group yet
            try:
                end(self._pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
            break

    def _supervise(self) -> None:
        order = self._until_database_answers(self._prepare)
        line, theirs = self._context.Pipe()
        process = self._context.Process(
            target=entry.main, args=(theirs, order.to_json()), daemon=True
        )
        process.start()
        self._pid = process.pid
        theirs.close()
        with SupervisorConnection(line) as trainer:
            self._watch(trainer)
        process.join(_EXIT_SECONDS)
        exit_code = process.exitcode
        if exit_code is None:
            self.kill()
        elif process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started and left behind
        self._pid = None
        self._until_database_answers(lambda: self._conclude(exit_code))

    # Before

    def _prepare(self) -> Order:
        claim = self._claim
        text = worker_api.load_text(self._store, claim).to_bytes()
        return Order(
            job=claim.job_id,
            name=claim.job_name,
            attempt=claim.attempt,
            config=claim.config,
            spool=str(self._spool.folder),
            text=self._spool.put("corpus", [text]),
            output=OUTPUT,
            resume=self._restore() if claim.attempt > 1 else None,
            inexact=claim.inexact,
            requirements=to_json(claim.requirements),
            accepted_by=claim.accepted_by,
            device=torch_device(claim.device),
            environment=environment(claim.device),
            threads=self._threads,
            checkpoint_seconds=self._checkpoint_seconds,
            tracking=str(self._tracking),
            lease_seconds=worker_api.LEASE_SECONDS,
            time_limit=claim.time_limit,
        )

    def _restore(self) -> str | None:
        """Puts the newest whole checkpoint into the spool and ends the record there."""
        store, claim = self._store, self._claim
        for row in worker_api.resumable_checkpoints(store, claim.job_id):
            try:
                chunks = worker_api.read_checkpoint(store, row.id)
                name = self._spool.put("resume", self._renewing(chunks))
            except CheckpointError as error:
                worker_api.remark(store, claim, f"{error}; looking for an older one")
                continue
            worker_api.rewind(store, claim, epoch=row.epoch, step=row.step, checkpoint_id=row.id)
            self._step, self._resumed = row.step, row.id
            return name
        worker_api.rewind(store, claim, epoch=0, step=0)
        return None

    def _renewing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Passes the chunks on, however long they take, without losing the lease."""
        for chunk in chunks:
            self._renew_when_due()
            yield chunk

    def _renew_when_due(self) -> bool:
        if time.monotonic() - self._renewed_at < worker_api.RENEW_SECONDS:
            return False
        self._request = worker_api.renew(self._store, self._claim)
        self._renewed_at = time.monotonic()
        self._kernel_kills = kernel_kills()  # older ones have nothing to do with what comes
        return True

    # Meanwhile

    def _watch(self, trainer: SupervisorConnection) -> None:
        """Serves trainer and database until the trainer has ended and all it sent is written."""
        connected = True
        while connected or self._uploads or self._buffer.pending:
            if connected:
                connected = self._receive(trainer)
                self._send(trainer)
                self._kill_if_overdue()
            if time.monotonic() < self._retry_database_at:
                if not connected:
                    self._require_time_left()
                    time.sleep(_TICK_SECONDS)
                continue
            try:
                self._serve_database(at_once=not connected)
            except RefusedDataError:
                raise  # trying again would not help
            except DatabaseError as error:
                logger.warning("job %d: %s", self._claim.job_id, error)
                self._retry_database_at = time.monotonic() + OUTAGE_SECONDS

    def _receive(self, trainer: SupervisorConnection) -> bool:
        """Receives what the trainer has sent; False once the pipe is closed."""
        try:
            busy = self._uploads and time.monotonic() >= self._retry_database_at
            if trainer.poll(0 if busy else _TICK_SECONDS):
                self._handle(trainer.receive())
                while trainer.poll():
                    self._handle(trainer.receive())
        except (EOFError, OSError):
            return False
        return True

    def _handle(self, message: Message) -> None:
        kind = message.pop("type")
        if kind == "remark":  # no sign of life: one that can only wait for room is stalled
            self._buffer.remark(message["message"])
            return
        self._received_at = time.monotonic()
        self._step = message.get("step", self._step)
        if kind == "provenance":
            self._buffer.provenance(message | {"device": self._claim.device.name})
        elif kind == "progress":
            self._buffer.progress(message)
        elif kind == "report":
            self._buffer.report(message)
        elif kind == "checkpoint":
            path = self._spool.folder / message["file"]
            self._uploads.append(Upload(self._store, self._claim, path, message))
        else:
            self._final_message = {"type": kind, **message}

    def _serve_database(self, *, at_once: bool) -> None:
        if self._declining:
            why = f"no durable checkpoint within {STOP_SECONDS:.0f} s"
            worker_api.decline_preemption(self._store, self._claim, why)
            self._request, self._declining = Request.NONE, False
        if self._renew_when_due():
            self._request_read_at = self._renewed_at
        # A report goes before the checkpoint that counts it.
        request = self._buffer.write(at_once=at_once or bool(self._uploads))
        if request is None and time.monotonic() - self._request_read_at >= REQUEST_SECONDS:
            request = worker_api.read_request(self._store, self._claim)
        if request is not None:
            self._request = request
            self._request_read_at = time.monotonic()
        if self._uploads and self._uploads[0].advance():
            self._halted = self._halted or self._uploads[0].halted
            del self._uploads[0]
            self._stored += 1

    def _send(self, trainer: SupervisorConnection) -> None:
        """Sends the trainer what became durable, and when to stop."""
        for _ in range(self._stored):
            trainer.send("stored")
        self._stored = 0
        if self._time_up_at is not None and time.monotonic() >= self._time_up_at:
            trainer.send("time_up")
            self._time_up_at = None
        wanted = self._effective_request()
        if self._stop_by is not None:
            return
        if wanted is Request.PREEMPT and not self._halted:
            self._request_place(trainer)
        elif wanted is not Request.NONE:
            trainer.send("stop")
            self._stop_by = time.monotonic() + STOP_SECONDS
            self._stopped_for = wanted
        elif self._halt_by is not None:  # its place is not needed any more
            trainer.send("go_on")
            self._halt_by, self._halted = None, False

    def _request_place(self, trainer: SupervisorConnection) -> None:
        """Has the trainer wait at a checkpoint; it goes on if that takes too long."""
        if self._declining:
            return
        if self._halt_by is None:
            trainer.send("halt")
            self._halt_by = time.monotonic() + STOP_SECONDS
        elif time.monotonic() > self._halt_by:
            trainer.send("go_on")
            self._halt_by = None
            self._declining = True

    def _effective_request(self) -> Request:
        """What people want, or a yield when this worker is to end."""
        if self._request is Request.NONE and self._handing_over.is_set():
            return Request.YIELD
        return self._request

    def _kill_if_overdue(self) -> None:
        """Kills a trainer that does not stop, or gives no sign of life."""
        now = time.monotonic()
        if self._stop_by is not None and now > self._stop_by and self._final_message is None:
            self._killed_for = "stop"
        elif now - self._received_at > STALL_SECONDS:
            self._killed_for = "stall"
        else:
            return
        self.kill()

    # After

    def _conclude(self, exit_code: int | None) -> None:
        """Ends the attempt, as the trainer's final message or its exit code says."""
        final, how = self._final_message, describe_exit(exit_code)
        kind = final["type"] if final else None
        if final is not None and kind == "finished":
            reason = final["result"].get("reason") or "trained to its end"
            worker_api.finish(
                self._store,
                self._claim,
                State.SUCCEEDED,
                message=f"{reason} at step {self._step:,}",
                result=final["result"],
                exit=how,
            )
        elif kind == "stopped" or self._killed_for == "stop":
            self._end_as_requested(how)
        elif final is not None and kind == "unreadable" and self._resumed is not None:
            self._discard_checkpoint(self._resumed, final["message"])
        elif final is not None and kind == "plugin_mismatch":
            self._hand_back_mismatch(final)
        elif final is not None:
            failure = FailureClass(final["failure"])
            used = final.get("memory_used")
            cause = final.get("error")
            self._fail(failure, final["message"], how=how, cause=cause, memory_used=used)
        elif self._killed_for == "stall":
            error = f"no sign of life for {STALL_SECONDS:.0f} s after step {self._step:,}"
            self._fail(FailureClass.STALLED, error, how=how)
        elif exit_code == -signal.SIGKILL and kernel_kills() > self._kernel_kills:
            how = "killed by the kernel: out of memory"
            self._fail(FailureClass.OUT_OF_MEMORY, self._death_message(how), how=how)
        else:
            self._fail(FailureClass.INFRASTRUCTURE, self._death_message(how), how=how)

    def _hand_back_mismatch(self, final: Message) -> None:
        """Hands the job back, for a worker that has its plugins."""
        self.plugin_mismatch = True
        made_with = final.get("made_with")
        required = None
        if made_with is not None:
            required = exactly(records_from_json(made_with), self._claim.plugins)
        message = f"{final['message']}; handed back"
        worker_api.hand_back(self._store, self._claim, message=message, requirements=required)

    def _discard_checkpoint(self, checkpoint_id: int, why: str) -> None:
        """Discards a checkpoint that was stored in full and yet cannot be read."""
        worker_api.discard_checkpoint(self._store, self._claim, checkpoint_id, why)
        self._hand_back(f"step {self._step:,} cannot be gone on from")

    def _death_message(self, how: str) -> str:
        return f"the trainer on {self._claim.worker_name} died at step {self._step:,} ({how})"

    def _fail(
        self,
        failure: FailureClass,
        error: str,
        *,
        how: str | None = None,
        cause: Message | None = None,
        memory_used: int | None = None,
    ) -> None:
        worker_api.fail_or_retry(
            self._store,
            self._claim,
            failure,
            error=error,
            exit=how,
            cause=cause,
            memory_used=memory_used,
        )

    def _give_up(self, failure: FailureClass, error: str) -> None:
        self.kill()
        with contextlib.suppress(FencedError, DatabaseError):
            self._fail(failure, error)

    def _worker_error(self, error: Exception) -> str:
        message = f"worker {self._claim.worker_name} is in trouble: {type(error).__name__}: {error}"
        return redacted(message, *self._urls)

    def _hand_back(self, trouble: str) -> None:
        self.kill()
        with contextlib.suppress(FencedError, DatabaseError):
            worker_api.finish(
                self._store, self._claim, State.QUEUED, message=f"{trouble}; handed back"
            )

    def _end_as_requested(self, how: str) -> None:
        wanted = self._effective_request()
        end, message = _ENDS[self._stopped_for if wanted is Request.NONE else wanted]
        message = f"{message} at step {self._step:,}"
        if self._request is Request.NONE and self._handing_over.is_set():
            message += f", since worker {self._claim.worker_name} ends"
        if self._killed_for:
            message += f": no checkpoint within {STOP_SECONDS:.0f} s, the last one stands"
        worker_api.finish(self._store, self._claim, end, message=message, exit=how)

    def _until_database_answers(self, work: Callable[[], T]) -> T:
        """Does what needs the database; tries again until the database answers."""
        while True:
            try:
                return work()
            except RefusedDataError:
                raise
            except DatabaseError as error:
                logger.warning("job %d: %s", self._claim.job_id, error)
                self._require_time_left()
                time.sleep(OUTAGE_SECONDS)

    def _require_time_left(self) -> None:
        """Raises `DatabaseError` when a worker that is to end has waited long enough."""
        if self._stop_by is None and self._handing_over.is_set():
            self._stop_by = time.monotonic()  # no trainer is running
        if self._stop_by is not None and time.monotonic() > self._stop_by + STOP_SECONDS:
            raise DatabaseError("the database did not answer while the worker was to end")
