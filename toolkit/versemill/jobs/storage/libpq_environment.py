"""What PostgreSQL's client library takes from the environment, written into the URL instead.

A worker needs its `PG*` variables, the processes that it starts must not have them.
"""

from __future__ import annotations

import os
import re

from versemill.errors import DatabaseError
from versemill.jobs.storage.database import CONNECTION_SETTINGS, parse_url

PREFIX = "PG"
"""How the names of libpq's variables begin: `PGPASSWORD`, `PGPASSFILE`, `PGSERVICEFILE`, …"""


def with_libpq_environment(url: str) -> str:
    """The URL of the same database, which no longer needs the `PG*` variables.

    Those of a service, from `PGSERVICE` or the URL, are looked up. What the URL says goes first,
    as it does with libpq. The variables stay; not safe beside other threads that read them.

    Raises:
        DatabaseError: it is no database URL, or `PGPORT` is no number.
    """
    parsed = parse_url(url)
    service = parsed.query.get("service")
    if parsed.get_backend_name() == "sqlite" or not (service or _variables()):
        return url
    taken = _taken(service if isinstance(service, str) else None)
    if not re.fullmatch(r"[0-9]*(,[0-9]*)*", taken.get("port", "")):
        raise DatabaseError(f"PGPORT = {taken['port']!r} is not allowed: a number is needed")
    if taken.keys() - {"service"}:  # else libpq says that there is no such service
        taken.pop("service", None)
        parsed = parsed.difference_update_query(["service"])
    if parsed.host is None and "host" not in parsed.query and _is_plain(taken.get("host", "")):
        parsed = parsed.set(host=taken.pop("host"))
    if parsed.host and parsed.port is None and taken.get("port", "").isdigit():
        parsed = parsed.set(port=int(taken.pop("port")))
    if parsed.username is None and "user" in taken:
        parsed = parsed.set(username=taken.pop("user"))
    said = {
        "host": parsed.host,
        "port": parsed.port,
        "user": parsed.username,
        "password": parsed.password,
        "dbname": parsed.database,
        **parsed.query,
        **CONNECTION_SETTINGS,  # which go before variables
    }
    more = {name: value for name, value in taken.items() if said.get(name) is None}
    return parsed.update_query_dict(more).render_as_string(hide_password=False)


def _taken(service: str | None) -> dict[str, str]:
    """Libpq's connection parameters that come from variables, or from a service's file."""
    kept = _variables()
    try:
        if service is not None:
            os.environ["PGSERVICE"] = service
        found = _defaults()
        for name in _variables():
            del os.environ[name]
        return dict(found.items() - _defaults().items())
    finally:
        os.environ.pop("PGSERVICE", None)
        os.environ.update(kept)


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}


def _defaults() -> dict[str, str]:
    from psycopg.pq import Conninfo

    options = Conninfo.get_defaults()
    return {o.keyword.decode(): o.val.decode() for o in options if o.val is not None}


def _is_plain(host: str) -> bool:
    """Whether a host may stand in the URL itself: one name or address, and no socket's folder."""
    return bool(host) and not any(mark in host for mark in "/,:@")
