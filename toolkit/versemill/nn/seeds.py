"""Seeds derived from a run's one seed.

Everything random has a generator with a seed for its purpose and place. So no generator state must
be saved, and validation and lyrics never change a run.
"""

from __future__ import annotations

import hashlib


def derived(seed: int, purpose: str, *place: int) -> int:
    """A 63-bit seed for one purpose at one place; the same arguments give the same seed."""
    name = f"{seed}/{purpose}/{'/'.join(map(str, place))}"
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
