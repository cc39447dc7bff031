"""The reference on today's images: by its model, by its kept predictions, or by the next one that can be compared."""

import pytest

from frostline import registry, storage
from frostline.errors import NotSigned, StorageError
from frostline.evaluation import kept_predictions
from frostline.evaluation.champion import compare_with_champion
from frostline.evaluation.reference import compare_with_reference

from tests.support.attempts import attempt
from tests.support.opponents import COUNT, challenger, digest, publish, saying, serve, sign, wrong
from tests.support.parquet import write_predictions
from tests.support.registries import forge

WHO = {"approver": "Ada", "reason": "the one of the audit"}
COUNTS = ("both_right", "only_challenger_right", "only_champion_right", "both_wrong")


def compare(root, ours, predict, public_key=None):
    champion, _ = compare_with_champion(root, "toy", ours, predict, 0.95, public_key)
    return champion, compare_with_reference(root, "toy", ours, predict, 0.95, champion, public_key)


def promoted(directory, name, **fields):
    """Publish a version and make it the champion."""
    root = str(directory / "registry")
    version = publish(directory, name, **fields)
    registry.promote(root, version, expected=registry.champion(root, "toy"), reason="not worse")
    return version


@pytest.fixture
def three(tmp_path):
    """A registry of three champions; the first is the reference."""
    root = serve(tmp_path, name="one")
    for name in ("two", "three"):
        promoted(tmp_path, name)
    return root


PREDICT = saying(one=wrong(0, 3), two=wrong(0, 6), three=wrong(0, 9))


def test_without_a_champion_there_is_no_reference(tmp_path):
    assert compare(str(tmp_path), challenger(), PREDICT) == (None, None)


def test_the_first_champion_is_compared_on_todays_images(three):
    champion, reference = compare(three, challenger(correct=0.8), PREDICT)
    assert (champion["version"], champion["model_digest"]) == (3, "three")
    assert (reference["version"], reference["model_digest"]) == (1, "one")
    assert [champion[name] for name in COUNTS] == [39, 9, 12, 0]
    assert [reference[name] for name in COUNTS] == [45, 3, 12, 0]
    assert (reference["pinned"], reference["stored"], reference["replaces"]) == (False, False, "")
    assert reference["promotion"] == registry.history(three, "toy")[0].promotion


def test_a_champion_that_is_the_reference_is_loaded_once(tmp_path):
    loads = []

    def predict(directory, rows):
        loads.append(directory)
        return saying(wrong(0, 3))(directory, rows)

    champion, reference = compare(serve(tmp_path), challenger(), predict)
    assert len(loads) == 1
    assert reference == {**champion, "pinned": False, "stored": False, "replaces": ""}


def test_a_pinned_version_is_compared_instead(three):
    registry.pin(three, "toy", 2, **WHO)
    _, reference = compare(three, challenger(), PREDICT)
    assert (reference["version"], reference["pinned"]) == (2, True)
    assert [reference[name] for name in COUNTS] == [42, 6, 12, 0]


def remove(root, number):
    """Take the files of a version away, as somebody with access to the bucket would."""
    for item in storage.list_files(storage.join(root, "toy/versions", str(number))):
        storage.delete(item.uri)


def keep(root, tmp_path, number, images, labels=("amber", "cobalt", "jade"), **fields):
    """Record the evaluation of a version with its predictions for some images: correct but for the first three."""
    one = attempt(f"of {number}", model="toy", version=number, **fields)
    registry.begin(root, one)
    said = [int(value) for value in wrong(0, 3)]
    write_predictions(tmp_path, [(digest(image), said[image]) for image in images])
    kept_predictions.write(tmp_path / "kept", tmp_path, list(labels))
    stored = registry.store_predictions(root, "toy", one.attempt, tmp_path / "kept")
    registry.conclude(root, "toy", one.attempt, predictions=stored)
    return one


def kept_and_replaced(tmp_path):
    """A registry whose first champion, with kept predictions, was replaced; and that first version."""
    root = str(tmp_path / "registry")
    one = keep(root, tmp_path, 1, range(40), model_digest="one")
    version = publish(tmp_path, "one")
    registry.promote(root, version, expected=None, reason="first", attempt=one.attempt)
    promoted(tmp_path, "two")
    return root, version


def test_a_reference_whose_files_are_gone_is_compared_by_its_predictions_of_images_that_are_still_there(tmp_path):
    root, _ = kept_and_replaced(tmp_path)
    remove(root, 1)
    _, reference = compare(root, challenger(correct=0.5), PREDICT)
    assert (reference["version"], reference["stored"], reference["model_digest"]) == (1, True, "one")
    assert (reference["examples"], reference["excluded"], reference["made_with"]) == (40, COUNT - 40, 0)
    assert [reference[name] for name in COUNTS] == [27, 3, 10, 0]
    assert reference["log_loss_difference"] is None
    assert sum(row["examples"] for row in reference["slices"]) == 40


def test_a_damaged_reference_is_not_loaded(tmp_path):
    root, version = kept_and_replaced(tmp_path)
    storage.write_bytes(storage.join(version.uri, "saved_model.pb"), b"two")
    _, reference = compare(root, challenger(), PREDICT)
    assert (reference["version"], reference["stored"]) == (1, True)


def test_a_reference_of_which_nothing_is_left_is_replaced_by_the_next_champion_and_that_is_told(three, capfd):
    remove(three, 1)
    _, reference = compare(three, challenger(), PREDICT)
    told = (
        "version 1, an earlier reference, cannot be compared: the files of version 1 are gone, and its predictions "
        "were not kept"
    )
    assert (reference["version"], reference["comparable"], reference["replaces"]) == (2, True, told)
    assert told in capfd.readouterr().err
    remove(three, 2)
    champion, reference = compare(three, challenger(), PREDICT)
    assert reference["version"] == champion["version"] == 3
    assert reference["replaces"].count("cannot be compared") == 2


def test_a_pinned_reference_is_not_replaced(three):
    registry.pin(three, "toy", 1, **WHO)
    remove(three, 1)
    _, reference = compare(three, challenger(), PREDICT)
    assert (reference["version"], reference["comparable"], reference["pinned"]) == (1, False, True)
    assert "are gone" in reference["reason"]


def test_a_reference_with_labels_that_are_gone_is_replaced_by_a_later_one(tmp_path):
    root = serve(tmp_path, name="one", labels=["amber", "cobalt", "olive"])
    promoted(tmp_path, "two")
    _, reference = compare(root, challenger(), PREDICT)
    assert reference["version"] == 2
    assert "the reference has labels that this model lacks (olive)" in reference["replaces"]


def test_a_registry_that_cannot_be_read_is_an_error_and_no_missing_reference(three, monkeypatch):
    read = storage.read_bytes

    def fail(uri, *arguments, **named):
        if "/versions/1/" in uri:
            raise StorageError("the bucket does not answer")
        return read(uri, *arguments, **named)

    monkeypatch.setattr(storage, "read_bytes", fail)
    with pytest.raises(StorageError, match="does not answer"):
        compare(three, challenger(), PREDICT)


def test_a_reference_that_is_not_signed_ends_the_evaluation_and_is_not_replaced(three, signer, tmp_path):
    sign(three, 3, signer, tmp_path / "3")
    with pytest.raises(NotSigned, match=r"versions/1: is not signed; if you trust this version, sign it"):
        compare(three, challenger(), PREDICT, signer.pem)
    sign(three, 1, signer, tmp_path / "1")
    champion, reference = compare(three, challenger(), PREDICT, signer.pem)
    assert (champion["version"], reference["version"], reference["stored"]) == (3, 1, False)
    forge(three, "toy", 1, "saved_model.pb", b"two")
    with pytest.raises(NotSigned, match="is not of these files"):
        compare(three, challenger(), PREDICT, signer.pem)
