"""Who asks, in tests."""

from __future__ import annotations

from versemill.jobs.service import Principal

ANN = Principal("ann")
BOB = Principal("bob")
