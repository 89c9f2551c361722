"""What all suites share: looking up the plugin, failing with advice, running without pytest."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from versemill.plugins.registry import Kind, Registration, Registry
from versemill.plugins.selection import Selected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class ConformanceError(AssertionError):
    """A plugin broke a rule.

    Attributes:
        what: what was seen.
        why: why it matters.
        mend: how to put it right.
    """

    def __init__(self, what: str, why: str, mend: str) -> None:
        super().__init__(f"{what}\n  why it matters: {why}\n  how to mend it: {mend}")
        self.what, self.why, self.mend = what, why, mend


def require(kept: bool, what: str, *, why: str, mend: str) -> None:
    """Raises `ConformanceError` unless `kept`."""
    if not kept:
        raise ConformanceError(what, why, mend)


class Suite:
    """Checks of one registration; every method `test_…` is one.

    Attributes:
        name: the name under which the plugin is registered.
        options: options that differ from their defaults.
        registry: where the plugin is looked up; None for what is installed.
    """

    kind: ClassVar[Kind]
    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    registry: ClassVar[Registry | None] = None

    def registration(self) -> Registration:
        """The plugin under test; raises `UnknownNameError` if it is not installed."""
        return (self.registry or _installed()).find(self.kind, self.name)

    def keywords(self) -> dict[str, Any]:
        """The options as the plugin gets them."""
        return self.registration().validate(self.options)

    def selected(self) -> Selected:
        """The plugin under test with its options."""
        return Selected(registration=self.registration(), options=self.keywords())


@functools.cache
def _installed() -> Registry:
    return Registry.discover()


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What one check found; `what`, `why` and `mend` are empty when it passed."""

    check: str
    rule: str
    passed: bool
    what: str = ""
    why: str = ""
    mend: str = ""


def outcomes(suite: type[Suite]) -> Iterator[CheckResult]:
    """Runs every check of a suite, each on an instance of its own; never raises."""
    for check in sorted(name for name in dir(suite) if name.startswith("test_")):
        rule = (getattr(suite, check).__doc__ or check).strip().splitlines()[0]
        try:
            getattr(suite(), check)()
        except ConformanceError as broken:
            yield CheckResult(
                check=check,
                rule=rule,
                passed=False,
                what=broken.what,
                why=broken.why,
                mend=broken.mend,
            )
        except Exception as error:  # noqa: BLE001 - third-party code may raise anything
            yield CheckResult(
                check=check,
                rule=rule,
                passed=False,
                what=f"it raised {type(error).__name__}: {error}",
                why="a job that meets this fails",
                mend="run the check in pytest to see where it was raised",
            )
        else:
            yield CheckResult(check=check, rule=rule, passed=True)
