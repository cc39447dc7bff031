"""A session refuses inputs that do not belong together; what it trains is tested with the train stage."""

from pathlib import Path

import pytest

from frostline.errors import ConfigError, DataError
from frostline.section import parse
from frostline.training.config import SessionSettings
from frostline.training.session import Inputs, Session

from tests.support.in_memory import GRADUAL, Made

SETTINGS = parse(
    SessionSettings,
    {"head": {}, "training": {}, "augment": {}, "cache": {}, "epochs": 1, "batch_size": 8, "learning_rate": 0.1,
     "seed": 0, "store": "/store"},
)  # fmt: skip
USE = {"phase": 1, "layer": "", "views": 1, "bytes": 0, "passes_saved": 0, "reason": "cache: off"}


def features(*uses):
    return {"uses": list(uses), "sets": [], "verdicts": {}, "computed": 0, "reused": 0}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("plan"), GRADUAL).subject.plan


def session(plan, *documents):
    return Session(SETTINGS, Inputs({}, plan, {}, documents), Path(), None)


def test_features_for_another_number_of_phases_are_refused(plan):
    with pytest.raises(ConfigError, match=r"^features.json: received 1; the plan has 2 phases$"):
        session(plan, features(USE))
    session(plan, features(USE, {**USE, "phase": 2}))


def test_shards_that_decided_differently_are_refused_and_so_is_no_shard(plan):
    two = [USE, {**USE, "phase": 2}]
    other = [USE, {**USE, "phase": 2, "layer": "head_pool"}]
    for documents in ([features(*two), features(*other)], []):
        with pytest.raises(DataError, match="run featurize again"):
            session(plan, *documents)
