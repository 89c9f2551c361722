"""The people's side: submit, steer, remove; and every listing.

The interfaces (the command line, later a server) call these functions and nothing below them.
Each use case is one function that takes a `Principal`; what there is to tell beside its result
comes back as notices. For start-up time, what only submitting needs (configuration, plugins,
reading) is imported inside functions.
"""

from __future__ import annotations

from versemill.jobs.service.arrays import QueuedArray, Varied, submit_array
from versemill.jobs.service.base_settings import job_table
from versemill.jobs.service.corpora import (
    add_corpus,
    corpus_text,
    list_corpora,
    remove_corpus,
    text_by_hash,
)
from versemill.jobs.service.devices_in_use import devices_in_use
from versemill.jobs.service.listings import (
    curve,
    details,
    find,
    folded,
    jobs,
    lyrics,
    output,
    thinned_curve,
)
from versemill.jobs.service.members import (
    JobsMeant,
    array_named,
    find_jobs,
    find_one,
    recent_arrays,
)
from versemill.jobs.service.notifications import (
    record_waiting,
    send_due,
    send_test,
    subscribe,
    subscriptions,
    unsubscribe,
)
from versemill.jobs.service.overview import overview, queue_view
from versemill.jobs.service.principal import Principal
from versemill.jobs.service.priorities import set_priority
from versemill.jobs.service.reservations import cancel_reservation, reservations, reserve
from versemill.jobs.service.restarting import resume, resume_or_retry, retry
from versemill.jobs.service.steering import (
    drain,
    remove,
    request_cancel,
    request_pause,
    request_yield,
)
from versemill.jobs.service.submission import Submission, SubmitOptions, enqueue, prepare, submit
from versemill.jobs.service.texts import (
    CorpusFromPath,
    FoundText,
    NamedByFile,
    OfferedCorpus,
    TextSources,
    add_corpus_from_path,
    find_text,
    named_text,
    offered_corpora,
)
from versemill.jobs.service.timing import After, Timing
from versemill.jobs.service.users import (
    add_user,
    list_users,
    set_disabled,
    set_limits,
    set_role,
)
from versemill.jobs.service.waking import Queued, Wake
from versemill.jobs.service.why_waiting import live_workers, waiting
from versemill.jobs.waiting.forecasts import Forecaster

__all__ = [
    "After",
    "CorpusFromPath",
    "Forecaster",
    "FoundText",
    "JobsMeant",
    "NamedByFile",
    "OfferedCorpus",
    "Principal",
    "Queued",
    "QueuedArray",
    "Submission",
    "SubmitOptions",
    "TextSources",
    "Timing",
    "Varied",
    "Wake",
    "add_corpus",
    "add_corpus_from_path",
    "add_user",
    "array_named",
    "cancel_reservation",
    "corpus_text",
    "curve",
    "details",
    "devices_in_use",
    "drain",
    "enqueue",
    "find",
    "find_jobs",
    "find_one",
    "find_text",
    "folded",
    "job_table",
    "jobs",
    "list_corpora",
    "list_users",
    "live_workers",
    "lyrics",
    "named_text",
    "offered_corpora",
    "output",
    "overview",
    "prepare",
    "queue_view",
    "recent_arrays",
    "record_waiting",
    "remove",
    "remove_corpus",
    "request_cancel",
    "request_pause",
    "request_yield",
    "reservations",
    "reserve",
    "resume",
    "resume_or_retry",
    "retry",
    "send_due",
    "send_test",
    "set_disabled",
    "set_limits",
    "set_priority",
    "set_role",
    "submit",
    "submit_array",
    "subscribe",
    "subscriptions",
    "text_by_hash",
    "thinned_curve",
    "unsubscribe",
    "waiting",
]
