"""What the parts of `job_queue` share: servers to throw away, databases, jobs in bulk, figures.

PostgreSQL runs with fsync on, and SQLite's files lie on the same disk, so that a commit costs here
what it costs anybody.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    String,
    case,
    cast,
    create_engine,
    insert,
    literal,
    make_url,
    select,
    text,
    true,
)

from versemill.config.validation import NoOptions
from versemill.jobs import service
from versemill.jobs.service import Principal, Submission
from versemill.jobs.states import Priority
from versemill.jobs.storage.columns import db_now
from versemill.jobs.storage.database import parse_url, upgrade
from versemill.jobs.storage.tables import Job, Metric, User
from versemill.jobs.storage.unit_of_work import Store
from versemill.plugins.registry import Registry
from versemill.plugins.resolution import resolve
from versemill.plugins.selection import Selection

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from servers import PostgreSQL, Valkey, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import CTE, Column


OWNERS = 50


@dataclass(frozen=True)
class Figure:
    """Something measured, beside what was asked for.

    Attributes:
        asked: the target; None for a figure that only stands beside others.
        at_least: whether the target is a lower bound.
    """

    what: str
    value: float
    unit: str
    asked: float | None = None
    at_least: bool = False
    remark: str = ""

    @property
    def met(self) -> bool:
        """Whether the target was met."""
        if self.asked is None:
            return True
        return self.value >= self.asked if self.at_least else self.value <= self.asked

    def __str__(self) -> str:
        line = f"  {self.what:<58} {self.value:>8,.4g} {self.unit:<4}"
        if self.asked is not None:
            bound = "≥" if self.at_least else "≤"
            line += f" {bound} {self.asked:g} {self.unit}: {'met' if self.met else 'MISSED'}"
        return line + (f"  ({self.remark})" if self.remark else "")


@dataclass
class Report:
    """Figures in the order measured, printed as they come."""

    figures: list[Figure] = field(default_factory=list)

    def title(self, words: str) -> None:
        """Begins a part."""
        print(words, flush=True)

    def add(self, *figures: Figure) -> None:
        """Prints and keeps figures."""
        for figure in figures:
            print(figure, flush=True)
            self.figures.append(figure)


@dataclass(frozen=True)
class Ground:
    """Where everything is measured.

    Attributes:
        folder: on a real disk, for SQLite's files and whatever else.
        quick: whether fewer repetitions will do.
    """

    folder: Path
    postgres: PostgreSQL
    redis: Valkey
    quick: bool
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def database(self, kind: str) -> str:
        """URL of a new database of ours, without rows; `kind` is `sqlite` or `postgresql`."""
        name = f"benchmark_{next(self._numbers)}"
        if kind == "sqlite":
            url = f"sqlite:///{self.folder / name}.db"
        else:
            server = parse_url(self.postgres.url)
            engine = create_engine(server, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
            engine.dispose()
            made = make_url(self.postgres.url).set(database=name)
            url = made.render_as_string(hide_password=False)
        upgrade(url)
        return url

    @contextmanager
    def store(self, kind: str, *, connections: int = 6) -> Iterator[Store]:
        """An open store on a new database."""
        opened = Store.open(self.database(kind), connections=connections)
        try:
            yield opened
        finally:
            opened.close()

    def home(self) -> Path:
        """A new data directory for commands and workers."""
        made = self.folder / f"home-{next(self._numbers)}"
        made.mkdir()
        return made


@contextmanager
def ground(*, quick: bool) -> Iterator[Ground]:
    """Starts the servers on loopback and removes everything at the end."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="versemill-benchmark-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # the database server may be another user
        for name in ("postgres", "redis", "data"):
            (folder / name).mkdir()
        postgres = PostgreSQL(folder / "postgres", port=free_port(), fsync=True)
        redis = Valkey(folder / "redis")
        stack.enter_context(postgres)
        stack.enter_context(redis)
        yield Ground(folder / "data", postgres, redis, quick)


def work(**overrides: Any) -> Submission:
    """The `default` recipe on the bundled Chinese lyrics.

    Args:
        overrides: other settings than the recipe's, such as `training__epochs=3`.
    """
    registry = Registry.discover()
    table: dict[str, Any] = {"corpus": "starter-zh", "cell": "gru", "prefixes": ["分开"]}
    for key, value in overrides.items():
        section, _, name = key.partition("__")
        table.setdefault(section, {})[name] = value
    config = resolve(table, registry)
    songs = registry.find("corpus", "starter-zh").load()(NoOptions())
    records = Selection(config, registry).records()
    return Submission(config=config, text=songs, plugins=records)


def fill_with_jobs(
    store: Store, work: Submission, count: int, *, prefix: str, **columns: Any
) -> int:
    """Multiplies one submitted job to `count` of `OWNERS` owners in turn; returns its id.

    Half of each owner's are of priority normal, a quarter low, a quarter high.

    Args:
        store: an installation without jobs.
        work: what is submitted.
        count: jobs there are afterwards.
        prefix: of their names.
        columns: columns of theirs that differ from the submitted job's.
    """
    first = service.enqueue(store, work, Principal("owner-0")).job.id
    table = Job.__table__
    numbers = _numbers(count - 1)
    with store.unit_of_work() as uow:
        owners = [{"name": f"owner-{i}"} for i in range(1, OWNERS)]
        uow.session.execute(insert(User), owners)
        lowest = uow.session.scalars(select(User.id).order_by(User.id)).first()
        made = {k: _expression(v, table.c[k]) for k, v in columns.items()}
        made |= {
            "name": literal(prefix) + cast(numbers.c.n, String),
            "owner_id": literal(lowest) + numbers.c.n % OWNERS,
            "queued_at": db_now(),
            "priority": case(
                (numbers.c.n / OWNERS % 4 == 0, Priority.LOW),
                (numbers.c.n / OWNERS % 4 == 1, Priority.HIGH),
                else_=Priority.NORMAL,
            ),
        }
        made |= {c.name: c for c in table.c if c.name not in {"id", *made}}
        chosen = select(*made.values()).join(numbers, true()).where(table.c.id == first)
        uow.execute(insert(table).from_select(list(made), chosen))
        uow.commit()
    return first


def _expression(value: Any, column: Column[Any]) -> ColumnElement[Any]:
    return value if isinstance(value, ColumnElement) else literal(value, column.type)


def add_curve(store: Store, job_id: int, count: int) -> None:
    """Inserts the figures of `count` reports in bulk."""
    numbers = _numbers(count)
    made = {
        "job_id": literal(job_id),
        "step": numbers.c.n * 38,
        "attempt": literal(1),
        "epoch": numbers.c.n,
        "train_perplexity": literal(3.0) + literal(500.0) / numbers.c.n,
        "valid_perplexity": literal(9.0) + literal(500.0) / numbers.c.n,
        "characters_per_second": literal(20_000.0),
        "at": db_now(),
    }
    chosen = select(*made.values()).select_from(numbers)
    with store.unit_of_work() as uow:
        uow.execute(insert(Metric.__table__).from_select(list(made), chosen))
        uow.commit()


def _numbers(count: int) -> CTE:
    """A table of the numbers from 1 to `count`, in its column `n`."""
    start = select(literal(1).label("n")).cte("numbers", recursive=True)
    return start.union_all(select(start.c.n + 1).where(start.c.n < count))
