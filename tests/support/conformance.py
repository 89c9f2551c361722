"""Which checks of a conformance suite a plugin fails."""

from __future__ import annotations

from versemill.plugins import NoOptions
from versemill.plugins.registry import Registration
from versemill.testing.suite import outcomes


class Only:
    """A registry that has one plugin, this one."""

    def __init__(
        self, kind: str, implementation: object, options: type, stage: str | None = None
    ) -> None:
        class Loaded(Registration):
            def load(self):
                return implementation

        self.registration = Loaded(
            kind=kind,
            name="x",
            target="x:x",
            summary="",
            options=options,
            distribution="x",
            version="0",
            revision="0",
            estimate=getattr(implementation, "estimate", None),
            stage=stage,
        )

    def find(self, kind: str, name: str) -> Registration:
        return self.registration


def failures(
    suite: type, plugin: object, options: type = NoOptions, stage: str | None = None
) -> list[str]:
    attributes = {"name": "x", "registry": Only(suite.kind, plugin, options, stage)}
    found = [o for o in outcomes(type("Suite", (suite,), attributes)) if not o.passed]
    assert all(o.what and o.why and o.mend and o.rule for o in found)
    return [o.check for o in found]
