"""A job as a job file that resubmits it: its settings, and where it came from as comments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from versemill.cli.terminal.wording import settings_line
from versemill.config.job_file import to_toml
from versemill.escaping import one_line
from versemill.phrases import exact_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from versemill.jobs.views import JobDetails


def job_file(table: Mapping[str, Any], details: JobDetails) -> str:
    """The file.

    Args:
        table: the job's settings as a job file has them, its stored text among them.
        details: what it is, and with what it was computed.
    """
    comments = "\n".join(f"# {one_line(line)}" for line in _comments(details))
    return f"{comments}\n{to_toml(table)}"


def _comments(details: JobDetails) -> Iterator[str]:
    job = details.job
    yield f"job {job.id} ({job.name}) of {job.owner}, submitted {job.created_at:%Y-%m-%d %H:%M} UTC"
    if job.array is not None:
        yield f"of array {job.array}: {settings_line(job.array_values or {})}"
    if job.time_limit is not None:
        yield f"time limit {exact_duration(job.time_limit)}"
    for record in details.plugins:
        yield f"{record.kind} {record.name}: {record.distribution} {record.version}"
    for attempt in details.attempts[-1:]:
        yield from provenance_lines(attempt.provenance or {})


def provenance_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """With what an attempt computed, for people; nothing if that is not known."""
    versions = found.get("versions", {})
    if versions:
        yield "computed with " + ", ".join(f"{name} {what}" for name, what in versions.items())
    plan = found.get("plan", {})
    if plan:
        place = f"on {found.get('device')}: " if found.get("device") else ""
        yield place + ", ".join(f"{name} {what}" for name, what in plan.items())
