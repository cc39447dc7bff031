"""Attempts: recorded once per evaluation, concluded by whoever ends it, counted by the images that they share."""

import threading

import pytest

from frostline import registry, storage
from frostline.errors import RegistryError
from frostline.registry import sketches

from tests.support.attempts import attempt, images


def test_an_evaluation_that_is_repeated_is_one_attempt_and_keeps_its_outcome(root):
    registry.begin(root, attempt("one"))
    registry.conclude(root, "digits", attempt("one").attempt, outcome="held", reason="worse")
    registry.begin(root, attempt("one", at=30))
    [found] = registry.attempts(root, "digits")
    assert (found.outcome, found.reason, found.evaluated_at[-8:-6]) == ("held", "worse", "00")


def test_attempts_are_in_the_order_of_time(root):
    for name, at in (("c", 5), ("a", 9), ("b", 1)):
        registry.begin(root, attempt(name, at=at))
    assert [one.model_digest for one in registry.attempts(root, "digits")] == ["model b", "model c", "model a"]
    assert registry.attempts(root, "another") == []


def test_two_that_conclude_at_once_lose_nothing(root):
    one = attempt("one")
    registry.begin(root, one)
    fields = [{"outcome": "pushed"}, {"reason": "better"}, {"version": 3}, {"becomes_reference": True}]
    threads = [
        threading.Thread(target=registry.conclude, args=(root, "digits", one.attempt), kwargs=some) for some in fields
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [found] = registry.attempts(root, "digits")
    assert (found.outcome, found.reason, found.version, found.becomes_reference) == ("pushed", "better", 3, True)


def test_an_attempt_of_another_registry_is_not_concluded(root):
    with pytest.raises(RegistryError, match=r"has no attempt 0{16} of digits; evaluate with this registry first"):
        registry.conclude(root, "digits", "0" * 16, outcome="held")


def test_an_attempt_that_is_not_one_is_refused(root):
    storage.write_bytes(storage.join(root, "digits/attempts/x.json"), b'{"schema": "frostline/attempt/v1"}')
    with pytest.raises(RegistryError, match=r"attempts/x\.json: model: received"):
        registry.attempts(root, "digits")


def test_earlier_decisions_count_by_the_fraction_of_todays_images_that_they_used():
    earlier = [attempt("a", (0, 40)), attempt("b", (20, 60)), attempt("c", (40, 80)), attempt("d", (0, 400))]
    today = images(0, 40)
    assert registry.looks(earlier, len(today), sketches.sketch(today)) == pytest.approx(1 + 0.5 + 0 + 1, abs=0.01)
    assert registry.looks([], len(today), sketches.sketch(today)) == 0


def test_predictions_are_kept_as_they_were_first_written_and_read_only_if_they_are_those(root, tmp_path):
    one = attempt("one")
    registry.begin(root, one)
    assert registry.predictions(root, one) is None
    for data in (b"first", b"second"):
        (tmp_path / "predictions").write_bytes(data)
        digest = registry.store_predictions(root, "digits", one.attempt, tmp_path / "predictions")
        one = registry.conclude(root, "digits", one.attempt, predictions=digest)
        assert registry.predictions(root, one) == b"first"
    uri = storage.join(root, "digits/predictions", f"{one.attempt}.parquet")
    storage.write_bytes(uri, b"third")
    assert registry.predictions(root, one) is None
    storage.delete(uri)
    assert registry.predictions(root, one) is None
