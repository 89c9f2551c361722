"""Seeds derived from a run's one seed.

Everything random draws from a generator seeded for its purpose and place, so that no generator
state needs saving and looking at a run (validation, lyrics) never changes it.
"""

from __future__ import annotations

import hashlib


def derived(seed: int, purpose: str, *place: int) -> int:
    """A 63-bit seed for one purpose at one place; the same arguments give the same seed."""
    name = f"{seed}/{purpose}/{'/'.join(map(str, place))}"
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
