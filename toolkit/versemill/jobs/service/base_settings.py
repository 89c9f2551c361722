"""The settings of a job as a job table, for another job to begin from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from versemill.jobs.service.listings import details

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versemill.jobs.storage.unit_of_work import Store

_PLUGIN_KINDS = ("cell", "sampler", "tokenizer")


@dataclass(frozen=True, kw_only=True)
class BaseSettings:
    """What another job takes over.

    Attributes:
        table: every setting, as a job file has it.
        content_hash: of the text.
    """

    table: dict[str, Any]
    content_hash: str

    def with_changes(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The table with other values where `changes` has some.

        Where a plugin is replaced, the options of the one before go; where the corpus is, so do
        the prefixes, which may not occur in the new one.
        """
        table = dict(self.table)
        for kind in _PLUGIN_KINDS:
            if changes.get(kind, table[kind]) != table[kind]:
                table.pop(f"{kind}_options", None)
        if "corpus" in changes:
            table.pop("prefixes", None)
            table["corpus_options"] = table.pop("text_options")
        else:
            table["corpus_options"] = table.pop("text_options") | table["corpus_options"]
        for key, value in changes.items():
            section = table.get(key)
            if isinstance(section, dict) and isinstance(value, dict):
                table[key] = section | value
            else:
                table[key] = value
        return table


def settings_of(store: Store, job_id: int) -> BaseSettings:
    """The settings of a job; raises `UnknownNameError`."""
    found = details(store, job_id)
    table = dict(found.config)
    text = table.pop("text")
    # What is not set must not be there: TOML has no null.
    table["text_options"] = {key: value for key, value in text.items() if value is not None}
    return BaseSettings(table=table, content_hash=found.content_hash)


def job_table(store: Store, job_id: int) -> dict[str, Any]:
    """A job table that resubmits a job exactly, its text by hash; raises `UnknownNameError`."""
    base = settings_of(store, job_id)
    return {**base.with_changes({}), "text": f"sha256:{base.content_hash}"}
