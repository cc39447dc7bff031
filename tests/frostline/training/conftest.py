"""A training that the tests of finished trainings share."""

import pytest

from tests.support import pictures
from tests.support.stages import Bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    """A training whose model is `first`, and which the store keeps; tests leave the store as it is."""
    bench = Bench(tmp_path_factory.mktemp("finished"))
    bench.data(pictures.make(bench.root / "photos", 8))
    bench.plan({"through": "block1"})
    bench.train(model="first", keep_finished=True)
    return bench
