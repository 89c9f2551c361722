"""Starts worked out from free places agree with handing them out one by one."""

from __future__ import annotations

import heapq
import random

import pytest

from versemill.jobs.waiting.start_times import as_range, seconds_until


def handed_out(lanes: list[float], ahead: int, each: float) -> float:
    heap = list(lanes)
    heapq.heapify(heap)
    for _ in range(ahead):
        heapq.heappush(heap, heapq.heappop(heap) + each)
    return heap[0]


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_handing_places_out(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(200):
        lanes = [chance.choice([0.0, chance.uniform(0, 500)]) for _ in range(chance.randint(1, 9))]
        ahead, each = chance.randint(0, 60), chance.uniform(1, 100)
        expected = handed_out(lanes, ahead, each)
        assert seconds_until(lanes, ahead, each) == pytest.approx(expected, abs=0.02 * each)


def test_jobs_that_take_no_time_delay_nobody() -> None:
    assert seconds_until([3.0, 8.0], 1000, 0.0) == 3.0


@pytest.mark.parametrize("seconds", [0.0, 1.0, 10.0, 100.0, 1e6])
def test_a_range_holds_what_is_expected_and_is_no_wider_than_allowed(seconds: float) -> None:
    earliest, latest = as_range(seconds)
    assert 0 <= earliest <= seconds <= latest <= 2 * earliest + 30
