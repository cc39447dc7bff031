"""The numbers of the card: those of the evaluation, in the field's units, and a sentence where there is none."""

from frostline.reporting import card_measures
from frostline.reporting.markup import Code, Table

from tests.support import reports
from tests.support.evaluations import split


def blocks(heading, notes=(), **changed):
    """The blocks of one chapter."""
    chapters = card_measures.chapters(reports.evaluation(**changed), notes)
    return next(chapter.blocks for chapter in chapters if chapter.heading == heading)


def tables(found):
    return [block for block in found if isinstance(block, Table)]


def test_every_metric_has_its_value_its_interval_and_the_method():
    metrics, *_ = tables(blocks("Quality"))
    assert metrics.headings == ("metric", "value", "95 % interval", "method")
    assert {row[0]: row[1:] for row in metrics.rows} == {
        "accuracy": ("89.1 %", "87.1 % to 91.1 %", "wilson"),
        "top-2 accuracy": ("96.4 %", "95.4 % to 97.4 %", "wilson"),
        "macro F1": ("88.4 %", "86.2 % to 90.6 %", "bootstrap"),
        "expected calibration error": ("3.1 %", "1.9 % to 4.3 %", "bootstrap"),
        "log loss (nats)": ("0.3412", "0.3112 to 0.3712", "normal"),
        "Brier score (0 to 2)": ("0.1612", "0.1472 to 0.1752", "normal"),
    }


def test_each_class_and_slice_is_a_row():
    _, classes, slices = tables(blocks("Quality"))
    assert [row[0] for row in classes.rows] == list(reports.LABELS)
    assert slices.rows == [
        ("camera", "field", "400", "93.0 % (90.0 % to 96.0 %)"),
        ("camera", "studio", "310", "83.0 % (80.0 % to 86.0 %)"),
    ]
    assert len(tables(blocks("Quality", slices=[]))) == 2


def test_earlier_models_on_the_test_images_are_counted():
    for attempts, sentence in (
        (0, "No earlier model was evaluated on these test images."),
        (1, "1 earlier model was evaluated on some of these test images."),
        (2, "2 earlier models were evaluated on some of these test images."),
    ):
        assert blocks("Quality", test_split=split(attempts))[0].endswith(sentence)
    before = {"digest": "e" * 64, "promotions": 2}
    assert blocks("Quality", test_split=before)[0].endswith(sentence)


def test_the_reference_is_named_beside_the_champion():
    text = blocks("Comparison with the champion")[1]
    assert text.startswith("Against the reference, version 1, on ")
    assert "points" in text
    pinned = {**reports.evaluation()["reference"], "pinned": True}
    assert "version 1, pinned by a person, on" in blocks("Comparison with the champion", reference=pinned)[1]
    gone = {"version": 1, "comparable": False, "reason": "its files are gone", "pinned": True}
    assert len(blocks("Comparison with the champion", reference=gone)) == 2


def test_the_slice_with_the_largest_loss_comes_first():
    [slices] = tables(blocks("Comparison with the champion"))
    differences = [float(row[3].split()[0]) for row in slices.rows]
    assert differences == sorted(differences)
    assert len(set(differences)) > 3


def test_what_was_excluded_from_the_comparison_and_why():
    champion = reports.champion()
    sentence = blocks("Comparison with the champion")[0]
    assert (
        "12 test images are excluded: version 3 was made with 9 of them, and does not have the class of 3." in sentence
    )
    sentence = blocks("Comparison with the champion", champion={**champion, "excluded": 0, "made_with": 0})[0]
    assert "excluded" not in sentence
    new = blocks("Comparison with the champion", champion={**champion, "new_labels": ["iris", "olive"]})
    assert new[2] == "Classes that only this model has: iris, olive."


def test_the_gates_notes_are_limits():
    [limits] = blocks("Limits", ["fewer than 30 test images"])
    assert limits[-1] == "Fewer than 30 test images."


def test_how_to_serve_it_has_code_latency_and_size():
    found = blocks("How to serve it")
    assert [block.language for block in found if isinstance(block, Code)] == ["python"]
    assert "41.2 ms (median) and 48.7 ms (95th percentile) for 1 image per call; 802.0 ms (median)" in found[2]
    assert "for 32 images per call. The files take 89.1 MB." in found[2]
    assert found[3].startswith("Compared with the model in training on 512 test images, 100.0 % of the labels agree")
