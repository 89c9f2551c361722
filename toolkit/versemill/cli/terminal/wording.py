"""How a job, its reports and its lyrics are worded in lines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from versemill.cli.terminal.tables import duration, perplexity, speed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versemill.jobs.states import State
    from versemill.jobs.views import CurvePoint, JobView, LyricView


def ending(job: JobView) -> str:
    """How a job that has not failed ended, or stands, and what can be done next."""
    name = label(job)
    if job.state == "paused":
        return f"{name} is paused; `versemill run {job.id}` carries on"
    if job.state == "cancelled":
        return f"{name} was cancelled; `versemill retry {job.id}` queues it again"
    return f"{name} {job.state}"


def label(job: JobView) -> str:
    """How messages name a job."""
    return f"job {job.id} ({job.name})"


def settings_line(values: Mapping[str, Any]) -> str:
    """Settings in one line: `training.seed=1 model.layers=2`."""
    return " ".join(f"{key}={value}" for key, value in values.items())


def asked(job: JobView, state: State, participle: str) -> str:
    """What a request has come to: done at once, or left with whoever runs the job."""
    if state == "running":
        return f"{label(job)} is running: it will be {participle} after a checkpoint"
    return f"{label(job)} is {state}"


def status_line(job: JobView) -> str:
    """Where a job is, on one line."""
    name = f"job {job.id} ({job.name})"
    if job.state == "queued":
        return f"{name} waits for a worker"
    if job.state != "running":
        return f"{name} {job.state_shown}"
    if job.request in {"pause", "cancel", "yield"}:
        return f"{name} {job.state_shown}: waiting for the checkpoint"
    if job.state_shown == "interrupted":
        return f"{name} interrupted: its worker is gone, another one takes over soon"
    if job.train_perplexity is None:
        return f"{name} starts on {job.worker}"
    parts = [
        f"epoch {job.epoch}/{job.epochs}",
        f"step {job.step:,}",
        f"training perplexity {perplexity(job.train_perplexity)}",
    ]
    if job.valid_perplexity is not None:
        parts.append(f"validation {perplexity(job.valid_perplexity)}")
    parts.append(f"{speed(job.characters_per_second)} characters/s")
    if job.seconds_left is not None:
        parts.append(f"{duration(job.seconds_left)} left")
    return " · ".join(parts)


def expected_start(job: JobView, now: datetime | None = None) -> str:
    """When a waiting job is expected to start; empty where nothing is known."""
    if job.expected_start is None:
        return ""
    now = now or datetime.now(UTC)
    earliest, latest = ((each - now).total_seconds() for each in job.expected_start)
    if earliest < 1:
        return f"starts within {duration(latest)}"
    return f"starts in {duration(earliest)} to {duration(latest)}"


def waiting_text(job: JobView) -> str:
    """Where a waiting job stands, why it waits, and when it may start; empty for any other."""
    if job.state != "queued":
        return ""
    place = "" if job.position is None else f"no. {job.position:,}"
    return ": ".join(filter(None, (place, job.reason))) + (
        f"; {expected_start(job)}" if job.expected_start else ""
    )


def report_line(point: CurvePoint, epochs: int) -> str:
    """The figures of one report."""
    valid = ""
    if point.valid_perplexity is not None:
        valid = f" · validation {perplexity(point.valid_perplexity)} (held out)"
    return (
        f"epoch {point.epoch}/{epochs} · step {point.step:,} · "
        f"training perplexity {perplexity(point.train_perplexity)}{valid} · "
        f"{speed(point.characters_per_second)} characters/s"
    )


def lyric_lines(lyric: LyricView) -> list[str]:
    """A lyric under a line that says after which prefix and when it was written."""
    head = f"{lyric.prefix} — epoch {lyric.epoch}, step {lyric.step:,}, {lyric.decoder}"
    return [head, *indented(lyric.text), ""]


def indented(text: str) -> list[str]:
    """The lines of a lyric, set in by four columns."""
    return [f"    {line}".rstrip() for line in text.replace("\t", " ").split("\n")]
