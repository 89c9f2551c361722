"""`show` and `logs`: the story of one job, and what its trainer printed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from versemill.phrases import counted

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.jobs.views import AttemptView, JobDetails

_POLL_SECONDS = 0.5
_FAILURES = {"user": "user error", "out_of_memory": "out of memory"}


@click.command()
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def show(job: str, as_json: bool) -> None:
    """Tell everything about a job.

    Its figures, its settings, and what happened to it.

    \b
    Example:  versemill show @last
    """
    from versemill.cli.installation import installation
    from versemill.cli.terminal.tables import harmless, print_json
    from versemill.jobs import service

    with installation() as here:
        details = service.details(here.store, here.job(job).id)
    if as_json:
        print_json(details.to_json())
        return
    for line in (*_figures(details), *_settings(details), *_story(details)):
        click.echo(harmless(line))


@click.command()
@click.argument("job")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the job has ended.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per attempt.")
def logs(job: str, follow: bool, as_json: bool) -> None:
    """Print what a job's trainers have printed.

    The last 64 KiB of each attempt are kept.

    \b
    Example:  versemill logs -f my-job
    """
    from versemill.cli.installation import installation, note
    from versemill.cli.terminal.tables import print_json
    from versemill.jobs import service

    with installation() as here:
        found = here.job(job)
        if as_json:
            print_json([view.to_json() for view in service.output(here.store, found.id)])
            return
        printed = _print_output(here, found.id, {})
        while follow and not found.state.ended and found.state != "paused":
            time.sleep(_POLL_SECONDS)
            found = service.find(here.store, str(found.id))
            printed = _print_output(here, found.id, printed)
        if not any(printed.values()):
            note(f"job {found.id} ({found.name}) has printed nothing; state: {found.state_shown}")


def _print_output(here: Installation, job_id: int, printed: dict[int, str]) -> dict[int, str]:
    """Prints what is new of each attempt, and returns what has been printed."""
    from versemill.cli.installation import note
    from versemill.cli.terminal.tables import harmless
    from versemill.jobs import service

    now: dict[int, str] = {}
    for view in service.output(here.store, job_id):
        before = printed.get(view.attempt, "")
        if view.output and not before:
            note(f"--- attempt {view.attempt} on {view.worker}")
        fresh = _added(before, view.output).replace("\r\n", "\n")
        click.echo(harmless(fresh), nl=False)
        now[view.attempt] = view.output
    return now


def _added(before: str, after: str) -> str:
    """What came after `before`, of which the database may have dropped the head."""
    if after.startswith(before):
        return after[len(before) :]
    tail = before[-1024:]
    at = after.rfind(tail)
    return after[at + len(tail) :] if at >= 0 else after


def _figures(details: JobDetails) -> list[str]:
    from versemill.cli.terminal.tables import ago, duration, perplexity, speed

    job = details.job
    lines = [
        f"job {job.id} ({job.name}): {job.state_shown}",
        f"  owner      {job.owner}, created {ago(job.created_at)}",
        f"  epoch      {job.epoch} of {job.epochs}, step {job.step:,}",
        f"  training   perplexity {perplexity(job.train_perplexity)} (on the training text)",
        f"  validation perplexity {perplexity(job.valid_perplexity)} (held out)",
    ]
    if job.worker is not None:
        left = duration(job.seconds_left)
        pace = f"{speed(job.characters_per_second)} characters/s, {left} left"
        lines.append(f"  worker     {job.worker}, {pace}")
    if details.accepted_by is not None:
        lines.append(f"  accepted   a change of its plugins, by {details.accepted_by}")
    if details.waiting is not None:
        lines.append(f"  waits      {details.waiting}")
    if job.error is not None:
        lines.append(f"  error      {job.error}")
    for part, held_out in (details.result or {}).get("held_out", {}).items():
        lines.append(f"  result     {held_out_line(part, held_out)}")
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
    from versemill.plugins.requirements import from_json

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
    if details.needs:
        lines.append(f"  needs      {', '.join(map(str, from_json(details.needs)))}")
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


def _story(details: JobDetails) -> list[str]:
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
