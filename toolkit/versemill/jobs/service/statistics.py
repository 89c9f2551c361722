"""What was used: device hours, waits, failures and how often forecasts held, by whom or where.

Plain SQL that the database adds up: the number of rows read is that of the groups.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from versemill.jobs.json_values import View
from versemill.jobs.storage.plain_sql import NOW, SessionSQL

if TYPE_CHECKING:
    from versemill.jobs.storage.plain_sql import PlainSQL
    from versemill.jobs.storage.unit_of_work import Store

_SECONDS = {
    "sqlite": "((julianday({end}) - julianday({start})) * 86400.0)",
    "postgresql": "extract(epoch FROM ({end} - {start}))",
}
_MONDAY = {  # of the week of a time, in UTC
    "sqlite": "date({at}, '-6 days', 'weekday 1')",
    "postgresql": "to_char(date_trunc('week', {at} AT TIME ZONE 'UTC'), 'YYYY-MM-DD')",
}
_DEVICE = (
    "CASE WHEN attempts.device_kind = 'gpu'"
    " THEN coalesce(attempts.device_name, 'GPU') || ' ' || coalesce(attempts.device_id, '')"
    " ELSE 'CPU of worker ' || attempts.worker_name END"
)
_ALL = "all"
_HOUR = 3600.0


class By(StrEnum):
    """What usage is grouped by: owner, device, or the week in which attempts were started."""

    OWNER = "owner"
    DEVICE = "device"
    WEEK = "week"


@dataclass(frozen=True, kw_only=True)
class Usage(View):
    """What was used by one owner, of one device, in one week, or in all.

    Attributes:
        group: the owner's name, the device, the Monday of the week (in UTC), or `all`.
        cpu_hours: hours in which a place on a CPU was held.
        gpu_hours: hours in which a GPU was held, a part of one as that part.
        given_back_hours: hours of device time that are not charged, as they were lost to others.
        utilisation: devices held at a time, on average from the first start to the last end: of
            one GPU the part of that time in which it was held. None if nothing has run.
        attempts: how often a job was started.
        wait_p50: seconds that half of the jobs waited for their first start at most.
        wait_p90: seconds that nine of ten waited at most.
        failures: how many attempts failed, by class.
        forecasts: how many starts had been forecast.
        forecasts_right: how many of these fell into the range; 0 where grouped by device.
        forecast_rate: the part of them; None without a forecast.
    """

    group: str
    cpu_hours: float = 0.0
    gpu_hours: float = 0.0
    given_back_hours: float = 0.0
    utilisation: float | None = None
    attempts: int = 0
    wait_p50: float | None = None
    wait_p90: float | None = None
    failures: dict[str, int]
    forecasts: int = 0
    forecasts_right: int = 0

    @property
    def forecast_rate(self) -> float | None:
        """The part of the forecasts that were right; None without any."""
        return self.forecasts_right / self.forecasts if self.forecasts else None

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return super().to_json() | {"forecast_rate": self.forecast_rate}


@dataclass(frozen=True, kw_only=True)
class Statistics(View):
    """What was used in all, and in groups.

    Attributes:
        by: what the groups are; None for none.
        groups: by name; weeks in their order.
    """

    total: Usage
    by: By | None
    groups: tuple[Usage, ...]


def statistics(store: Store, by: By | None = None) -> Statistics:
    """What was used since the beginning, running jobs up to now; of removed jobs nothing."""
    with store.reading() as session:
        sql = SessionSQL(session)
        total = _usage(sql, None).get(_ALL, Usage(group=_ALL, failures={}))
        found = {} if by is None else _usage(sql, by)
    return Statistics(total=total, by=by, groups=tuple(found[name] for name in sorted(found)))


def _usage(sql: PlainSQL, by: By | None) -> dict[str, Usage]:
    groups = _held(sql, _group(sql, by, "attempts.started_at"))
    for name, kind, count in _failed(sql, _group(sql, by, "attempts.started_at")):
        failures = {**groups[name].failures, kind: count}
        groups[name] = replace(groups[name], failures=failures)
    for name, half, most in _waited(sql, _group(sql, by, "attempts.started_at")):
        groups[name] = replace(groups[name], wait_p50=half, wait_p90=most)
    if by is not By.DEVICE:
        for name, count, right in _forecast(sql, _group(sql, by, "forecasts.started_at")):
            if name in groups:
                groups[name] = replace(groups[name], forecasts=count, forecasts_right=right)
    return groups


def _group(sql: PlainSQL, by: By | None, at: str) -> str:
    if by is None:
        return f"'{_ALL}'"
    if by is By.WEEK:
        return _MONDAY[sql.dialect].format(at=at)
    return "users.name" if by is By.OWNER else _DEVICE


def _seconds(sql: PlainSQL, start: str, end: str) -> str:
    return _SECONDS[sql.dialect].format(start=start, end=end)


_ATTEMPTS = (
    " FROM attempts JOIN jobs ON jobs.id = attempts.job_id JOIN users ON users.id = jobs.owner_id"
)


def _held(sql: PlainSQL, group: str) -> dict[str, Usage]:
    end = f"coalesce(attempts.ended_at, {NOW[sql.dialect]})"
    held = f"attempts.share * {_seconds(sql, 'attempts.started_at', end)}"
    span = _seconds(sql, "min(attempts.started_at)", f"max({end})")
    kinds = ", ".join(
        f"sum(CASE WHEN attempts.device_kind = '{kind}' THEN {held} ELSE 0 END) AS {kind}"
        for kind in ("cpu", "gpu")
    )
    rows = sql.rows(
        f"SELECT {group} AS name, count(*) AS attempts, {kinds},"
        f" sum(attempts.share * attempts.given_back) AS given_back, {span} AS span"
        f"{_ATTEMPTS} GROUP BY 1"
    )
    return {
        row["name"]: Usage(
            group=row["name"],
            cpu_hours=float(row["cpu"]) / _HOUR,
            gpu_hours=float(row["gpu"]) / _HOUR,
            given_back_hours=float(row["given_back"] or 0.0) / _HOUR,
            utilisation=_part(float(row["cpu"]) + float(row["gpu"]), float(row["span"] or 0.0)),
            attempts=row["attempts"],
            failures={},
        )
        for row in rows
    }


def _part(held: float, span: float) -> float | None:
    return held / span if span > 0 else None


def _failed(sql: PlainSQL, group: str) -> list[tuple[str, str, int]]:
    rows = sql.rows(
        f"SELECT {group} AS name, attempts.failure AS kind, count(*) AS count"
        f"{_ATTEMPTS} WHERE attempts.failure IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return [(row["name"], row["kind"], row["count"]) for row in rows]


def _waited(sql: PlainSQL, group: str) -> list[tuple[str, float, float]]:
    """Percentiles by nearest rank of the waits for the first start, by group.

    A job waits from the time it was queued, or from the time it was to begin at.
    """
    since = (
        "CASE WHEN jobs.queued_at <= attempts.started_at THEN jobs.queued_at"
        " WHEN jobs.begin_at > jobs.created_at AND jobs.begin_at <= attempts.started_at"
        " THEN jobs.begin_at ELSE jobs.created_at END"
    )
    wait = _seconds(sql, f"({since})", "attempts.started_at")
    rows = sql.rows(
        "SELECT name, max(CASE WHEN n = (c + 1) / 2 THEN wait END) AS half,"
        " max(CASE WHEN n = (9 * c + 9) / 10 THEN wait END) AS most FROM"
        " (SELECT name, wait, row_number() OVER (PARTITION BY name ORDER BY wait) AS n,"
        "  count(*) OVER (PARTITION BY name) AS c FROM"
        f"  (SELECT {group} AS name, {wait} AS wait{_ATTEMPTS} WHERE attempts.number = 1) AS waits"
        " ) AS ranked GROUP BY name"
    )
    return [
        (row["name"], max(0.0, float(row["half"])), max(0.0, float(row["most"]))) for row in rows
    ]


def _forecast(sql: PlainSQL, group: str) -> list[tuple[str, int, int]]:
    rows = sql.rows(
        f"SELECT {group} AS name, count(*) AS count, sum(CASE WHEN forecasts.started_at"
        " BETWEEN forecasts.earliest AND forecasts.latest THEN 1 ELSE 0 END) AS right_ones"
        " FROM forecasts JOIN jobs ON jobs.id = forecasts.job_id"
        " JOIN users ON users.id = jobs.owner_id"
        " WHERE forecasts.started_at IS NOT NULL GROUP BY 1"
    )
    return [(row["name"], row["count"], row["right_ones"]) for row in rows]
