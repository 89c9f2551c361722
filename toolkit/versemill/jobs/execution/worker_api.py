"""The workers' side: everything a worker does to a job it holds, or takes off a dead holder.

Workers call these functions and nothing below them, as people's commands call
`versemill.jobs.service`.
"""

from __future__ import annotations

from versemill.jobs.execution.checkpoints import (
    CHUNK_BYTES,
    CheckpointRow,
    add_chunk,
    begin_checkpoint,
    complete_checkpoint,
    discard_checkpoint,
    latest_checkpoint,
    read_checkpoint,
    resumable_checkpoints,
)
from versemill.jobs.execution.claims import (
    RENEW_SECONDS,
    Claim,
    claim,
    finish,
    hand_back,
    load_text,
    read_request,
    renew,
    runnable,
)
from versemill.jobs.execution.live_workers import (
    WorkerRecord,
    drained_by,
    forget_worker,
    heartbeat,
    register_worker,
)
from versemill.jobs.execution.preemption import decline_preemption, preempt
from versemill.jobs.execution.recording import (
    LyricRow,
    MetricRow,
    ProgressRow,
    record,
    remark,
    rewind,
)
from versemill.jobs.execution.recovery import fail_or_retry, sweep
from versemill.jobs.execution.reservations import enforce_reservations
from versemill.jobs.execution.retention import free_checkpoints
from versemill.jobs.states import LEASE_SECONDS

__all__ = [
    "CHUNK_BYTES",
    "LEASE_SECONDS",
    "RENEW_SECONDS",
    "CheckpointRow",
    "Claim",
    "LyricRow",
    "MetricRow",
    "ProgressRow",
    "WorkerRecord",
    "add_chunk",
    "begin_checkpoint",
    "claim",
    "complete_checkpoint",
    "decline_preemption",
    "discard_checkpoint",
    "drained_by",
    "enforce_reservations",
    "fail_or_retry",
    "finish",
    "forget_worker",
    "free_checkpoints",
    "hand_back",
    "heartbeat",
    "latest_checkpoint",
    "load_text",
    "preempt",
    "read_checkpoint",
    "read_request",
    "record",
    "register_worker",
    "remark",
    "renew",
    "resumable_checkpoints",
    "rewind",
    "runnable",
    "sweep",
]
