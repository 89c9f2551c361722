"""What can be done next, worded as commands: for notices of the service."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from versemill.jobs.notices import (
    EncodingFound,
    NoWorker,
    OtherMachines,
    PluginsMissing,
)

if TYPE_CHECKING:
    from versemill.jobs.notices import Notice


def told(notice: Notice, *, job_id: int | None = None) -> str:
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
def _(_notice: OtherMachines, job_id: int | None) -> str:
    return (
        f": start one there, or allow small differences with `versemill pause {job_id}` and "
        f"`versemill resume {job_id} --inexact`"
    )


@_advice.register
def _(notice: PluginsMissing, job_id: int | None) -> str:
    remedy = f"; install {'it' if len(notice.needs) == 1 else 'them'} where one runs"
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
    return "; if that is wrong, `versemill corpora add NAME PATH` with --encoding"
