"""Random damage to the bytes of a file."""

from __future__ import annotations

from hypothesis import strategies as st

mutations = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "remove", "swap", "length"]),
        st.integers(0, 2**64 - 1),
        st.binary(min_size=1, max_size=16),
    ),
    min_size=1,
    max_size=4,
)


def mutated(data: bytes, kind: str, number: int, noise: bytes) -> bytes:
    at = number % (len(data) + 1)
    if kind == "flip" and data:
        at %= len(data)
        return data[:at] + bytes([data[at] ^ (1 << noise[0] % 8)]) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    if kind == "insert":
        return data[:at] + noise + data[at:]
    if kind == "remove":
        return data[:at] + data[at + noise[0] :]
    if kind == "length":
        return number.to_bytes(8, "little") + data[8:]
    return data[at:] + data[:at]
