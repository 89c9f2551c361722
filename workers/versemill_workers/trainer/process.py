"""The trainer: one process per attempt, forked from a server that has imported torch.

It reaches neither database nor broker. It sends its results to its supervisor over a pipe, and
passes checkpoints on as files. A crash here ends one attempt and nothing else.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch

from versemill.checkpoints.file import read, write
from versemill.checkpoints.state import TrainingState
from versemill.config.job import JobConfig
from versemill.errors import (
    CheckpointError,
    DivergedError,
    NotEnoughMemoryError,
    PluginMismatchError,
    VersemillError,
)
from versemill.nn.machine import KernelPlan
from versemill.phrases import exact_duration
from versemill.plugins.attribution import culprit
from versemill.plugins.record import records_to_json
from versemill.plugins.registry import Registry, in_short
from versemill.plugins.requirements import exactly, from_json, lacking, offered
from versemill.plugins.run_events import EpochReport, Finished, Progress
from versemill.plugins.tracker import AttemptStart
from versemill.text.corpus import Text
from versemill.text.splitting import split
from versemill.training.gpu_memory import CONTEXT_BYTES
from versemill.training.run import Training
from versemill_workers.protocol import Order, TrainerConnection
from versemill_workers.trackers.feeding import Tracking
from versemill_workers.trainer.provenance import provenance

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from versemill.config.validation import JSONValue
    from versemill.plugins.registry import Registration
    from versemill.plugins.run_events import Event


_DISK_RETRY_SECONDS = 1.0


def main(pipe: Connection, order_json: str) -> None:
    """Entry point of the process: trains as ordered, reports to the supervisor, ends."""
    order = Order.from_json(order_json)
    os.setpgid(0, 0)  # a group of its own, so that it can be ended with whatever it started
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _redirect_output(Path(order.spool) / order.output)
    faulthandler.enable()  # a segmentation fault leaves its traceback in the output
    os.environ.update(order.environment)
    supervisor = TrainerConnection(pipe, lease_seconds=order.lease_seconds)
    registry = Registry.discover()
    _require_plugins(supervisor, order, registry)
    try:
        _prepared(supervisor, order, registry).run()
    except NotEnoughMemoryError as error:
        supervisor.send(
            "failed", failure="out_of_memory", message=str(error), error=error.to_json()
        )
        sys.exit(1)
    except VersemillError as error:
        supervisor.send("failed", failure="user", message=str(error), error=error.to_json())
        sys.exit(1)
    except (MemoryError, torch.OutOfMemoryError) as error:
        traceback.print_exc()
        supervisor.send(
            "failed",
            failure="out_of_memory",
            message=f"out of memory: {in_short(error)}",
            memory_used=_memory_used(),
        )
        sys.exit(1)
    except (OSError, SystemExit) as error:
        plugin = culprit(error, registry)
        if plugin is None:
            raise  # disk or pipe: the supervisor sees a process that died
        _report_exception(supervisor, error, plugin)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything; the job says what
        _report_exception(supervisor, error, culprit(error, registry))
    sys.stdout.flush()


def _prepared(supervisor: TrainerConnection, order: Order, registry: Registry) -> _Trainer:
    """The trainer, at the step where it goes on; ends the process if its plugins will not do."""
    state = _resumed(supervisor, order)
    try:
        return _Trainer(supervisor, order, registry, state)
    except PluginMismatchError as error:
        made_with = state.plugins if state else ()
        if not lacking(exactly(made_with), offered(registry)):
            raise
        # Another worker may have them.
        supervisor.send("plugin_mismatch", message=str(error), made_with=records_to_json(made_with))
        sys.exit(1)


def _resumed(supervisor: TrainerConnection, order: Order) -> TrainingState | None:
    """The state to go on from; ends the process if its file cannot be read."""
    if not order.resume:
        return None
    try:
        checkpoint = read(Path(order.spool) / order.resume)
    except CheckpointError as error:
        supervisor.send("unreadable", message=str(error.__cause__ or error))
        sys.exit(1)
    return TrainingState.from_checkpoint(checkpoint)


def _require_plugins(supervisor: TrainerConnection, order: Order, registry: Registry) -> None:
    """Ends the process unless the job's plugins are here, whatever the worker thought it has."""
    lacks = lacking(from_json(order.requirements), offered(registry))
    if lacks:
        names = ", ".join(map(str, lacks))
        supervisor.send(
            "plugin_mismatch", message=f"needs {names}, which this worker does not have now"
        )
        sys.exit(1)


def _report_exception(
    supervisor: TrainerConnection, error: BaseException, plugin: Registration | None
) -> NoReturn:
    """Reports an error that trying again would not mend, and whose code raised it."""
    traceback.print_exc()
    memory = "can't allocate memory" in str(error)  # how the CPU allocator says it
    source = "training" if plugin is None else plugin.label
    failure = "out_of_memory" if memory else "user"
    message = f"{source} raised {in_short(error)}"
    supervisor.send("failed", failure=failure, message=message, memory_used=_memory_used())
    sys.exit(1)


class _Trainer:
    def __init__(
        self,
        supervisor: TrainerConnection,
        order: Order,
        registry: Registry,
        state: TrainingState | None,
    ) -> None:
        self._supervisor = supervisor
        self._order = order
        self._registry = registry
        self._spool = Path(order.spool)
        self._written = 0
        self._handed_over_at: int | None = None
        self._best: TrainingState | None = None  # waits here for the next checkpoint
        self._from_step = 0 if state is None else state.step
        self._reported = 0 if state is None else state.step - state.position
        self._run = self._prepare(state)
        self._supervisor.send("provenance", **provenance(self._run))
        if self._run.accepted:
            changes = "; ".join(self._run.accepted)
            self._remark(f"goes on changed, as {order.accepted_by} accepted: {changes}")

    def run(self) -> None:
        """Trains to the end, or until it is asked to stop."""
        with self._tracking() as tracking:
            try:
                self._train(tracking)
            except DivergedError:
                self._keep_best()
                raise

    def _train(self, tracking: Tracking) -> None:
        due = time.monotonic() + self._order.checkpoint_seconds
        for event in self._run:
            self._send(event)
            tracking.send(event)
            if isinstance(event, EpochReport) and event.best:
                self._best = self._run.state()
            if isinstance(event, Finished):
                self._hand_over_last(final=True)
                self._supervisor.send("finished", result=_result(event))
                return
            if self._supervisor.time_up.is_set():
                limit = exact_duration(self._order.time_limit or 0)
                self._run.end_early(f"time limit of {limit} reached")
            if self._supervisor.halt_asked.is_set() and not self._supervisor.stop_asked.is_set():
                self._hand_over_periodic(halted=True)
                self._supervisor.wait_halted()
                due = time.monotonic() + self._order.checkpoint_seconds
            if self._supervisor.stop_asked.is_set():
                self._hand_over_last()
                self._supervisor.send("stopped")
                return
            if time.monotonic() >= due and self._supervisor.outstanding == 0:
                self._hand_over_periodic()
                due = time.monotonic() + self._order.checkpoint_seconds

    def _prepare(self, state: TrainingState | None) -> Training:
        order = self._order
        plan = KernelPlan.current(device=order.device, threads=order.threads)
        if state is not None:
            plan = plan.resuming(state.plan, inexact=order.inexact)
        plan.apply()
        config = JobConfig.from_json(order.config)
        text = Text.from_bytes((self._spool / order.text).read_bytes())
        return Training(
            split(text, config.text),
            config,
            self._registry,
            plan=plan,
            state=state,
            inexact=order.inexact,
            accept_change=order.accepted_by is not None,
        )

    def _tracking(self) -> Tracking:
        order, specs = self._order, self._run.config.trackers
        run = AttemptStart(
            job=order.job,
            name=order.name,
            attempt=order.attempt,
            step=self._from_step,
            reported=self._reported,
            config=order.config,
        )
        if specs:
            self._remark(f"followed by {', '.join(specs)} in {order.tracking}")
        return Tracking(specs, run, order.tracking, self._remark)

    def _remark(self, message: str) -> None:
        self._supervisor.send("remark", message=message)

    def _send(self, event: Event) -> None:
        if isinstance(event, Progress):
            kind = "progress"
        elif isinstance(event, EpochReport):
            kind = "report"
        else:
            return
        self._supervisor.send(kind, memory_used=_memory_used(), **dataclasses.asdict(event))

    def _hand_over_periodic(self, *, halted: bool = False) -> None:
        """Hands a checkpoint over; where there is no room for one, training goes on without."""
        try:
            self._hand_over(halted=halted)
        except OSError as error:
            self._remark_unwritten(error, periodic=True)

    def _hand_over_last(self, *, final: bool = False) -> None:
        """Hands the last checkpoint over, waiting for room if need be.

        The supervisor ends a wait that takes too long.
        """
        remarked = False
        while True:
            try:
                self._hand_over(final=final)
            except OSError as error:
                if not remarked:
                    self._remark_unwritten(error, periodic=False)
                remarked = True
                time.sleep(_DISK_RETRY_SECONDS)
            else:
                return

    def _keep_best(self) -> None:
        """Hands the best state over that waits for a checkpoint which will never come."""
        if self._best is None:
            return
        try:
            self._write(self._best, "best", is_best=True)
        except OSError as error:
            self._remark(f"the best weights could not be kept: {error.strerror or error}")

    def _remark_unwritten(self, error: OSError, *, periodic: bool) -> None:
        reason = error.strerror or str(error)
        then = "training goes on" if periodic else "trying again"
        self._remark(f"no checkpoint at step {self._run.step:,}: {reason}; {then}")

    def _hand_over(self, *, final: bool = False, halted: bool = False) -> None:
        """Writes the best state if it is new, then the present one, and reports both.

        What was handed over at this very step is not written again.
        """
        if self._handed_over_at == self._run.step and not final:
            return
        if self._best is not None:
            self._write(self._best, "best", is_best=True)
            self._best = None
        self._write(self._run.state(), "last", is_last=True, is_final=final, halted=halted)
        self._handed_over_at = self._run.step

    def _write(self, state: TrainingState, name: str, **flags: bool) -> None:
        # Two checkpoints may be of one step, and the first is removed once it is durable.
        self._written += 1
        file = f"{self._written}-{name}-{state.step}.safetensors"
        write(state.to_checkpoint(), self._spool / file)
        flags = {"is_best": False, "is_last": False, "is_final": False, "halted": False, **flags}
        about: dict[str, JSONValue] = {
            "file": file,
            "step": state.step,
            "epoch": state.epoch,
            "made_with": records_to_json(state.plugins),
        }
        self._supervisor.send("checkpoint", **about, **flags)


def _memory_used() -> int | None:
    """Most bytes of the GPU's memory that this process has taken; None if it uses no GPU."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return None
    return torch.cuda.max_memory_reserved() + CONTEXT_BYTES


def _result(event: Finished) -> dict[str, JSONValue]:
    result: dict[str, JSONValue] = dataclasses.asdict(event)
    result["held_out"] = {part: figures.to_json() for part, figures in event.held_out.items()}
    return result


def _redirect_output(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
