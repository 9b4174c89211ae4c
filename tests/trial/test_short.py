"""The short form of the trial: 150 events of 45 charges. `make trial` runs 10,000 of 3,000."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import on_both
from tests.trial.run import Weather, plan, run
from tests.trial.site import write_mapping

pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path: Path, database_url: str, redis_url: str, redis: object) -> Iterator[Weather]:
    """Give a deployment with a web process and no worker yet."""
    with Weather(tmp_path, database_url, redis_url, write_mapping(tmp_path)) as site:
        site.start(webs=1, workers=0)
        yield site


@on_both
def test_each_charge_is_one_deal_in_bad_weather(site: Weather) -> None:
    """Answers lost after the write, 429s, late lists, killed workers, a person who moves deals: one deal for each."""
    trial = run(site, plan(45), kill_every_s=(3, 6), patience_s=300)

    assert trial.judgement.breaches == []
    assert (trial.judgement.deals, trial.events) == (45, 150)
    assert trial.judgement.moved > 0
    assert trial.kills > 1
    assert trial.lost > 25
    assert trial.contacts == trial.customers
