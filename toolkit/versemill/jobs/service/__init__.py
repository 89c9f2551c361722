"""The people's side: submit, steer, remove; and every listing.

The interfaces (the command line, later a server) call these functions and nothing below them.
"""

from __future__ import annotations

from versemill.jobs.service.corpora import (
    add_corpus,
    corpus_text,
    list_corpora,
    remove_corpus,
    text_by_hash,
)
from versemill.jobs.service.listings import (
    curve,
    details,
    find,
    jobs,
    lyrics,
    output,
    thinned_curve,
)
from versemill.jobs.service.steering import (
    drain,
    remove,
    request_cancel,
    request_pause,
    request_yield,
    resume,
    retry,
)
from versemill.jobs.service.submission import submit
from versemill.jobs.service.why_waiting import live_workers, waiting

__all__ = [
    "add_corpus",
    "corpus_text",
    "curve",
    "details",
    "drain",
    "find",
    "jobs",
    "list_corpora",
    "live_workers",
    "lyrics",
    "output",
    "remove",
    "remove_corpus",
    "request_cancel",
    "request_pause",
    "request_yield",
    "resume",
    "retry",
    "submit",
    "text_by_hash",
    "thinned_curve",
    "waiting",
]
