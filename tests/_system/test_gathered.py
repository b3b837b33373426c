"""Each kind of message once, with the number of times that it came."""

from __future__ import annotations

import logging
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from hepsilon import ScaleFactorWarning
from hepsilon._system.gathered import Gathered, gathered

logger = logging.getLogger("hepsilon")


def chunk(number: int) -> Gathered:
    with gathered() as said:
        warnings.warn(f"{number} factors are above 1", ScaleFactorWarning, stacklevel=1)
        logger.warning("%d of 1e3 events are odd", number)
        logger.info("nothing to gather")
    return said


def test_a_thousand_chunks_say_one_line(caplog: pytest.LogCaptureFixture) -> None:
    total = Gathered()
    with caplog.at_level(logging.WARNING, "hepsilon"):
        for number in range(1000):
            total = total + chunk(number)
        assert not caplog.messages
        with pytest.warns(ScaleFactorWarning) as caught:
            total.say()
    assert [str(each.message) for each in caught] == [
        "0 factors are above 1 (and 999 more of the same kind)"
    ]
    assert caplog.messages == ["0 of 1e3 events are odd (and 999 more of the same kind)"]


def test_the_sum_does_not_depend_on_the_order() -> None:
    parts = [chunk(number) for number in (3, 1, 2)]
    one = parts[0] + parts[1] + parts[2]
    assert one.texts() == (parts[2] + (parts[0] + parts[1])).texts()
    assert [each.number for each in one.said.values()] == [3, 3]


def test_messages_of_other_blocks_are_said_as_always(caplog: pytest.LogCaptureFixture) -> None:
    chunk(1)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "hepsilon"):
        logger.warning("heard")
    assert caplog.messages == ["heard"]


def test_threads_gather_their_own(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is lost, and nothing is left behind, in workers with several threads."""
    with ThreadPoolExecutor(4) as pool:
        total = sum(pool.map(chunk, range(200)), Gathered())
    assert [each.number for each in total.said.values()] == [200, 200]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "hepsilon"):
        logger.warning("heard")
    assert caplog.messages == ["heard"]
