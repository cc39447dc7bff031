"""Champion against challenger: the same images, none that the champion was made with, labels by name."""

import functools

import numpy as np
import pytest

from frostline import registry, storage
from frostline.errors import NotSigned, RegistryError
from frostline.evaluation.champion import compare_with_champion

from tests.support import opponents
from tests.support.opponents import COUNT, LABELS, challenger, saying
from tests.support.registries import forge


@pytest.fixture
def serve(tmp_path):
    """A function that publishes a champion and returns the registry."""
    return functools.partial(opponents.serve, tmp_path)


def test_without_a_champion_there_is_no_comparison(tmp_path):
    assert compare_with_champion(str(tmp_path), "toy", challenger(), None, 0.95) == (None, None)


def test_both_are_counted_on_the_same_images(serve):
    ours = challenger(correct=0.8)
    truth = np.arange(COUNT) % 3
    said = np.where(np.arange(COUNT) < 6, (truth + 1) % 3, truth)  # wrong on the first tenth, correct elsewhere
    found, theirs = compare_with_champion(serve(), "toy", ours, saying(said), 0.95)
    assert (found["comparable"], found["reason"], found["version"], found["excluded"]) == (True, "", 1, 0)
    counts = ("both_right", "only_challenger_right", "only_champion_right", "both_wrong")
    assert [found[name] for name in counts] == [42, 6, 12, 0]
    assert found["difference"]["value"] == pytest.approx(-6 / 60)
    assert found["accuracy"]["value"] == pytest.approx(54 / 60)
    assert found["challenger_accuracy"]["value"] == pytest.approx(48 / 60)
    assert found["log_loss_difference"]["value"] == pytest.approx((12 - 6) / 60 * (np.log(0.9) - np.log(0.05)))
    np.testing.assert_array_equal(theirs.argmax(axis=1), said)


def test_a_version_that_is_not_the_one_that_was_promoted_is_no_champion(serve):
    root = serve()
    uri = registry.look_up(root, "registry:toy").uri
    manifest = storage.read_bytes(f"{uri}/manifest.json")
    storage.write_bytes(f"{uri}/manifest.json", manifest + b"\n")
    with pytest.raises(RegistryError, match=r"toy version 1 in .* is not the one that was promoted"):
        compare_with_champion(root, "toy", challenger(), saying(np.arange(COUNT) % 3), 0.95)


def test_labels_in_another_order_are_the_same_labels(serve):
    truth = np.arange(COUNT) % 3
    other = ["jade", "amber", "cobalt"]
    said = np.array([other.index(LABELS[one]) for one in truth])  # always correct, in its own numbering
    found, theirs = compare_with_champion(serve(labels=other), "toy", challenger(correct=1), saying(said), 0.95)
    assert (found["both_right"], found["new_labels"]) == (COUNT, [])
    np.testing.assert_array_equal(theirs.argmax(axis=1), truth)


def test_images_that_the_champion_was_made_with_do_not_count(serve):
    root = serve(made_with=range(15))
    found, _ = compare_with_champion(root, "toy", challenger(correct=0.25), saying(np.arange(COUNT) % 3), 0.95)
    assert (found["excluded"], found["examples"]) == (15, 45)
    assert (found["both_right"], found["only_champion_right"]) == (0, 45)


def test_a_champion_made_with_every_test_image_cannot_be_compared(serve):
    root = serve(made_with=range(COUNT))
    found, _ = compare_with_champion(root, "toy", challenger(), saying(np.arange(COUNT) % 3), 0.95)
    assert not found["comparable"]
    assert "trained or validated on every test image" in found["reason"]


def test_a_champion_that_does_not_say_what_it_was_made_with_cannot_be_compared(serve):
    found, theirs = compare_with_champion(serve(without=["images.parquet"]), "toy", challenger(), None, 0.95)
    assert (found["comparable"], theirs) == (False, None)
    assert "images.parquet" in found["reason"]


def test_labels_that_only_the_challenger_has_are_left_out_of_the_comparison(serve):
    ours = challenger(labels=[*LABELS, "olive"], correct=1)
    said = np.minimum(np.arange(COUNT) % 4, 2)
    found, theirs = compare_with_champion(serve(), "toy", ours, saying(said), 0.95)
    assert (found["new_labels"], found["excluded"], found["examples"]) == (["olive"], 15, 45)
    assert (found["both_right"], found["log_loss_difference"]) == (45, None)
    assert theirs.shape == (COUNT, 4)
    assert {one["value"] for one in found["slices"]} == set(LABELS)


def test_labels_that_only_the_champion_has_make_them_incomparable(serve):
    found, _ = compare_with_champion(serve(labels=[*LABELS, "olive"]), "toy", challenger(), None, 0.95)
    assert not found["comparable"]
    assert "olive" in found["reason"]


def test_every_class_and_every_metadata_value_is_a_slice(serve):
    ours = challenger(correct=0.5, metadata=True)
    found, _ = compare_with_champion(serve(), "toy", ours, saying(np.arange(COUNT) % 3), 0.95)
    by_name = {(one["column"], one["value"]): one for one in found["slices"]}
    assert set(by_name) == {*(("true label", label) for label in LABELS), ("camera", "lens"), ("camera", "phone")}
    assert by_name["camera", "phone"]["difference"]["value"] == 0
    assert by_name["camera", "lens"]["only_champion_right"] == 30
    assert by_name["true label", "jade"]["examples"] == 20


def test_a_champion_is_loaded_only_with_the_signature_that_is_demanded(serve, signer, tmp_path):
    root, said = serve(), np.arange(COUNT) % 3
    loads = []

    def predict(directory, rows):
        loads.append(directory)
        return saying(said)(directory, rows)

    with pytest.raises(NotSigned, match=r"versions/1: is not signed; if you trust this version, sign it: frostline"):
        compare_with_champion(root, "toy", challenger(), predict, 0.95, signer.pem)
    opponents.sign(root, 1, signer, tmp_path / "to sign")
    found, _ = compare_with_champion(root, "toy", challenger(), predict, 0.95, signer.pem)
    assert found["comparable"]
    assert [str(directory).startswith(root) for directory in loads] == [False]  # a copy
    forge(root, "toy", 1, "saved_model.pb", b"a program of someone else")
    with pytest.raises(NotSigned, match=r"is not of these files: manifest\.json, saved_model\.pb"):
        compare_with_champion(root, "toy", challenger(), predict, 0.95, signer.pem)
    assert len(loads) == 1
    compare_with_champion(root, "toy", challenger(), predict, 0.95)  # digests alone do not notice it
    assert len(loads) == 2
