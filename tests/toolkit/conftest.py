"""Settings that must be in place before the first test imports torch."""

from __future__ import annotations

import os

from hypothesis import settings

# Tiny tensors: two threads cost more than they bring, and hundreds of times more on busy cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine may be slow at any moment; pytest-timeout watches for real hangs.
settings.register_profile("versemill", deadline=None)
settings.load_profile("versemill")
