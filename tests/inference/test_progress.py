import logging

import pytest

from findna.inference import progress as module
from findna.inference.progress import RecordProgress, StepProgress, WorkProgress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_a_line_a_minute_says_rate_and_time_left(clock, caplog):
    with caplog.at_level(logging.INFO, "findna"), StepProgress("pretrain", 10, 2) as progress:
        clock[0] = 30.0
        progress.advance(3000)
        assert caplog.text == ""
        clock[0] = 60.0
        progress.advance(3000)
    # Two of the eight steps that were left took a minute.
    assert caplog.messages == ["pretrain 4/10, 100 bases/s, 3.0 min left"]


def test_streams_say_what_they_did_and_work_what_is_left(clock, caplog):
    caplog.set_level(logging.INFO, "findna")
    with RecordProgress("embed") as records, WorkProgress("scan", 4000) as work:
        clock[0] = 100.0
        records.advance(5, 1000)
        work.advance(1000)
    assert caplog.messages == [
        "embed: 5 records, 1,000 bases, 10 bases/s",
        "scan: 1,000 of 4,000 bases, 10 bases/s, 5.0 min left",
    ]


def test_other_ranks_are_quiet(clock, caplog):
    with caplog.at_level(logging.INFO, "findna"), StepProgress("x", 9, shown=False) as progress:
        clock[0] = 500.0
        progress.advance(1)
    assert caplog.messages == []
