"""What can be done next, worded as commands: for errors, and for notices of the service.

`ADVICE` is the one table of what the command line advises about errors; docs/errors.md shows it.
"""

from __future__ import annotations

from functools import singledispatch
from types import MappingProxyType
from typing import TYPE_CHECKING

from versemill.jobs.notices import (
    EncodingFound,
    NoWorker,
    OtherMachines,
    OwnerDisabled,
    PluginsMissing,
    WaitsForJobs,
    WorkersTaken,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versemill.errors import VersemillError
    from versemill.jobs.notices import Notice
    from versemill.jobs.views import JobDetails, JobView
    from versemill.text.inspection import Oddity

_IDS_NAMED = 5


ADVICE: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("unknown-name", "job"): "`versemill jobs` lists them all",
        ("unknown-name", "live worker"): "`versemill workers` lists them",
        ("unknown-name", "disabled"): "`versemill plugins list` says why",
        ("corpus", "encoding-unsure"): "`versemill corpora add NAME PATH --encoding ENCODING`",
        ("corpus", "encoding-wrong"): (
            "leave out --encoding to have it recognised, or name the right one"
        ),
        ("corpus", "not-utf-8"): (
            "convert it to UTF-8, or have it recognised: `versemill corpora add NAME PATH`"
        ),
        ("corpus", "maybe-utf-16"): (
            "if it is UTF-16, `versemill corpora add NAME PATH --encoding utf-16-le` or utf-16-be"
        ),
        ("corpus", "field-unsure"): "name one with --field, or as field in [corpus_options]",
        ("plan-mismatch", ""): "allow small differences: `versemill retry {job_id} --inexact`",
        ("plugin-mismatch", ""): (
            "install what was there before, or go on all the same: "
            "`versemill retry {job_id} --accept-change`"
        ),
        ("diverged", ""): (
            "`versemill submit --from {job_id} --set training.learning_rate={lower_rate}` starts "
            "anew with a lower one"
        ),
        ("database", "unusable"): "`versemill doctor` looks at it",
        ("database", "commit-unknown"): (
            "look with `versemill show {name}` before you submit it again"
        ),
        ("database", "workers-alive"): "then `versemill db upgrade` again",
        ("database", "in-use"): "stop them with `versemill worker drain NAME`, and try again",
        ("damaged-database", ""): "`versemill doctor` says how to restore it",
        ("schema", "missing"): "run `versemill db upgrade`",
        ("schema", "older"): "stop the workers and run `versemill db upgrade`",
        ("schema", "newer"): "run `pip install --upgrade versemill`",
        ("schema", "target"): (
            "set VERSEMILL_DATABASE_URL to it, run `versemill db upgrade`, set it back and try "
            "again"
        ),
        ("job-state", "finished"): "give more with `versemill resume {job_id} --epochs +N`",
        ("job-state", "time-limit"): (
            "give it more than it has had with `versemill resume {job_id} --time-limit TIME`"
        ),
        ("job-state", "over"): "`versemill retry {job_id}` tries it again",
        ("job-state", "running"): "`versemill cancel {job_id}` first",
        ("job-state", "held"): (
            "`versemill wait {job_id}` waits for its end, `versemill pause {job_id}` stops it there"
        ),
        ("job-state", "plugins-missing"): "install {them}",
        ("job-state", "plugins-changed"): (
            "install {them}, or `versemill run {job_id} --accept-change`"
        ),
        ("job-state", "other-machine"): (
            "run it there, or allow small differences: `versemill run {job_id} --inexact`"
        ),
        ("job-state", "after-failed"): (
            "`versemill retry {job_id}` first, or have it begin after whatever end with "
            "`--after {job_id}:any`"
        ),
        ("job-state", "array"): "`versemill jobs --array {name} --sort loss` ranks them",
        ("job-state", "awaited"): "remove those first: `versemill rm {job_ids}`",
        ("job-state", "corpus-needed"): (
            "wait until they are over, or cancel them first: `versemill cancel {job_ids}`"
        ),
        ("missing-package", ""): "`pip install 'versemill[{extra}]'`",
        ("unknown-name", "subscription"): "`versemill notify list` lists yours",
        ("forbidden", "owner"): "`versemill users list` shows who is admin",
        ("forbidden", "admin"): "`versemill users list` shows who is admin",
        ("forbidden", "disabled"): "an admin can lift it: `versemill users enable {user}`",
        ("forbidden", "last-admin"): (
            "make another user admin first: `versemill users set NAME --role admin`"
        ),
        ("limit", "queued"): (
            "wait until one of them starts, or have an admin raise it: "
            "`versemill users limit {user} --queued N`"
        ),
        ("limit", "urgent"): (
            "take --priority high, or have an admin raise it: "
            "`versemill users limit {user} --urgent N`"
        ),
        ("unknown-name", "user"): (
            "`versemill users list` lists them, `versemill users add NAME` adds one"
        ),
    }
)
"""What to do about an error, by its code and reason; in braces, its attributes."""

_FALLBACK_RATE = 0.001
_RIGHT_ENCODINGS = {"lost": "ENCODING", "mojibake": "ENCODING", "private": "big5hkscs"}
"""Kinds of oddities that a wrong encoding may have caused, and the encoding to give."""


def with_advice(error: VersemillError) -> str:
    """The message of an error, and what the command line advises."""
    message = str(error)
    advice = advice_for(error.code, error.reason, error.attributes)
    return f"{message}; {advice}" if advice else message


def advice_for(code: str, reason: str, attributes: Mapping[str, object]) -> str:
    """What to do about an error, as a command where there is one; empty if nothing is known.

    Args:
        code: of the error.
        reason: of the error.
        attributes: of the error, and for that of a job its `job_id`.
    """
    template = ADVICE.get((code, reason), "")
    missing = attributes.get("missing")
    words = {
        "them": "it" if isinstance(missing, list) and len(missing) == 1 else "them",
        "lower_rate": _FALLBACK_RATE,
        **attributes,
    }
    ids = words.get("job_ids")
    if isinstance(ids, list):
        words["job_ids"] = " ".join(map(str, ids[:_IDS_NAMED]))
    try:
        return template.format_map(words)
    except KeyError:  # nothing is known of the job
        return ""


def with_encoding_advice(odd: Oddity) -> str:
    """How to correct an oddity of a text; with the command where the encoding may be wrong."""
    encoding = _RIGHT_ENCODINGS.get(odd.kind)
    if encoding is None:
        return odd.mend
    return f"{odd.mend}: `versemill corpora add NAME PATH --encoding {encoding}`"


def failure_text(job: JobView, details: JobDetails) -> str:
    """Why a job failed, and what to do about it."""
    cause = (details.result or {}).get("error")
    if not isinstance(cause, dict):
        return str(job.error)
    rate = details.config["training"]["learning_rate"]
    attributes = {**cause["attributes"], "job_id": job.id, "lower_rate": f"{rate / 10:g}"}
    advice = advice_for(cause["code"], cause["reason"], attributes)
    return f"{job.error}; {advice}" if advice else str(job.error)


def notice_text(notice: Notice, *, job_id: int | None = None) -> str:
    """The notice, and what can be done about it.

    Args:
        notice: what a use case has to tell.
        job_id: the job it is about.
    """
    return f"{notice}{_advice(notice, job_id)}"


@singledispatch
def _advice(_notice: Notice, _job_id: int | None) -> str:
    return ""


@_advice.register
def _(_notice: NoWorker, _job_id: int | None) -> str:
    return ": start one with `versemill worker`"


@_advice.register
def _(_notice: WorkersTaken, _job_id: int | None) -> str:
    return ": start another with `versemill worker`"


@_advice.register
def _(notice: OwnerDisabled, _job_id: int | None) -> str:
    return f"; an admin lets them start with `versemill users enable {notice.owner}`"


@_advice.register
def _(_notice: OtherMachines, job_id: int | None) -> str:
    return (
        f": start one there, or allow small differences with `versemill pause {job_id}` and "
        f"`versemill resume {job_id} --inexact`"
    )


@_advice.register
def _(notice: WaitsForJobs, job_id: int | None) -> str:
    hopeless = notice.hopeless
    if not hopeless:
        return ""
    return f": `versemill retry {hopeless[0].id}`, or `versemill cancel {job_id}`"


@_advice.register
def _(notice: PluginsMissing, job_id: int | None) -> str:
    remedy = f"; install {'it' if len(notice.requirements) == 1 else 'them'} where one runs"
    if notice.others:
        remedy += (
            f", or go on with what is there: `versemill pause {job_id}` and "
            f"`versemill resume {job_id} --accept-change`"
        )
    return remedy


@_advice.register
def _(notice: EncodingFound, _job_id: int | None) -> str:
    if not notice.guessed:
        return ""
    return "; if that is wrong, `versemill corpora add NAME PATH --encoding ENCODING`"
