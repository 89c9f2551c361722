"""`show`: one job, with its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from versemill.cli.terminal.output import say, say_file
from versemill.cli.terminal.wording import settings_line
from versemill.phrases import counted, exact_duration

if TYPE_CHECKING:
    from versemill.jobs.views import AttemptView, JobDetails, JobView

_FAILURES = {"user": "user error", "out_of_memory": "out of memory"}


@click.command()
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@click.option("--toml", "as_toml", is_flag=True, help="A job file that resubmits it exactly.")
def show(job: str, as_json: bool, as_toml: bool) -> None:
    """Tell everything about a job.

    Its figures, its settings, and what happened to it.

    \b
    Examples:  versemill show @last
               versemill show 7 --toml > again.toml
    """
    from versemill.cli.installation import installation
    from versemill.cli.terminal.tables import print_json
    from versemill.jobs import service

    if as_json and as_toml:
        raise click.UsageError("--json and --toml exclude each other.")
    with installation() as here:
        details = service.details(here.store, here.job(job).id)
        table = service.job_table(here.store, details.job.id) if as_toml else {}
    if as_toml:
        from versemill.cli.terminal.job_file import job_file

        say_file(job_file(table, details))
        return
    if as_json:
        print_json(details.to_json() | _waiting(details))
        return
    say(*_figures(details), *_settings(details), *_events(details))


def _waiting(details: JobDetails) -> dict[str, Any]:
    """Why it waits: as people read it, and as data."""
    from versemill.cli.terminal.advice import notice_text

    why = details.waiting
    if why is None:
        return {"waiting": None, "waiting_reason": None}
    return {"waiting": notice_text(why, job_id=details.job.id), "waiting_reason": why.to_json()}


def _figures(details: JobDetails) -> list[str]:
    from versemill.cli.terminal.advice import failure_text, notice_text
    from versemill.cli.terminal.tables import ago, duration, perplexity, speed
    from versemill.cli.terminal.wording import expected_start

    job = details.job
    lines = [
        f"job {job.id} ({job.name}): {job.state_shown}",
        f"  owner      {job.owner}, created {ago(job.created_at)}, priority {job.priority}",
        f"  epoch      {job.epoch} of {job.epochs}, step {job.step:,}",
        f"  training   perplexity {perplexity(job.train_perplexity)} per character "
        "(on the training text)",
        f"  validation perplexity {perplexity(job.valid_perplexity)} per character (held out)",
    ]
    if job.worker is not None:
        left = duration(job.seconds_left)
        pace = f"{speed(job.characters_per_second)} characters/s, {left} left"
        device = "" if job.device in {None, "CPU"} else f" on {job.device}"
        lines.append(f"  worker     {job.worker}{device}, {pace}")
    lines += _wishes(job)
    if details.accepted_by is not None:
        lines.append(f"  accepted   a change of its plugins, by {details.accepted_by}")
    if job.position is not None:
        start = expected_start(job)
        lines.append(f"  queue      no. {job.position:,}{f', {start}' if start else ''}")
    if details.waiting is not None:
        lines.append(f"  waits      {notice_text(details.waiting, job_id=job.id)}")
    if job.error is not None:
        lines.append(f"  error      {failure_text(job, details)}")
    reason = (details.result or {}).get("reason")
    if reason is not None:
        lines.append(f"  ended      early: {reason}")
    for part, held_out in (details.result or {}).get("held_out", {}).items():
        lines.append(f"  result     {held_out_line(part, held_out)}")
    return lines


def _wishes(job: JobView) -> list[str]:
    """The array that it belongs to, and what its owner has said of its beginning and end."""
    lines = []
    if job.array is not None:
        lines.append(f"  array      {job.array}: {settings_line(job.array_values or {})}")
    if job.begin_at is not None:
        lines.append(f"  begin      not before {job.begin_at.astimezone():%Y-%m-%d %H:%M %Z}")
    if job.time_limit is not None:
        lines.append(f"  limit      {exact_duration(job.time_limit)} of device time")
    return lines


def held_out_line(part: str, figures: dict[str, Any]) -> str:
    """Held-out figures of the best weights on one line."""
    from versemill.cli.terminal.tables import perplexity

    return (
        f"best weights on {part} text: perplexity {perplexity(figures['perplexity'])}, "
        f"{figures['bits_per_character']:.3f} bits per character over "
        f"{counted(figures['characters'], 'character')} ({figures['unknown_share']:.1%} unknown)"
    )


def _settings(details: JobDetails) -> list[str]:
    from versemill.cli.terminal.job_file import provenance_lines

    config = details.config
    lines = [
        "settings",
        f"  recipe {config['recipe']}, corpus {config['corpus']}, cell {config['cell']}, "
        f"sampler {config['sampler']}, tokenizer {config['tokenizer']}",
    ]
    for section in ("text", "model", "training", "generation"):
        values = ", ".join(f"{key} = {value}" for key, value in config[section].items())
        lines.append(f"  {section:<10} {values}")
    lines.append(f"  text hash  {details.content_hash}")
    for attempt in details.attempts[-1:]:
        lines += [f"  computed   {line}" for line in provenance_lines(attempt.provenance or {})]
    if details.requirements:
        lines.append(f"  needs      {', '.join(map(str, details.requirements))}")
    return lines


def _attempt(attempt: AttemptView) -> str:
    """Its steps and how it ended, on one line."""
    steps = "no step"
    if attempt.last_step is not None:
        steps = f"steps {attempt.first_step or 0:,} to {attempt.last_step:,}"
    how = str(attempt.outcome or "running")
    if attempt.failure is not None and attempt.outcome == "failed":
        how += f" ({_FAILURES.get(attempt.failure, attempt.failure)})"
    if attempt.exit is not None:
        how += f", {attempt.exit}"
    return f"{steps}; {how}"


def _events(details: JobDetails) -> list[str]:
    from versemill.cli.terminal.tables import ago, size

    lines = ["events"]
    lines += [f"  {ago(event.at):>12}  {event.actor}: {event.message}" for event in details.events]
    if details.attempts:
        lines.append("attempts")
    for attempt in details.attempts:
        lines.append(f"  {attempt.number:>3}  on {attempt.worker}: {_attempt(attempt)}")
        lines += [f"       | {line}" for line in attempt.last_words]
    if details.checkpoints:
        lines.append("checkpoints")
    for kept in details.checkpoints:
        kinds = ", ".join(kept.kinds)
        lines.append(f"  step {kept.step:,}, epoch {kept.epoch}: {kinds}, {size(kept.size)}")
    return lines
