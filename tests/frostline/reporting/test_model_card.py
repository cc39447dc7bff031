"""The model card: true to the artifacts, the same words twice, and open about what nobody knows."""

import html
import json
import re

import pytest
from markdown_it import MarkdownIt

from frostline import artifacts
from frostline.data import lineage
from frostline.errors import DataError
from frostline.reporting import model_card

from tests.support import reports

PROVENANCE = {
    "source": "gs://bucket/flowers",
    "manifest_digest": "1" * 64,
    "counts": {
        "train": dict.fromkeys(reports.LABELS, 70),
        "validation": dict.fromkeys(reports.LABELS, 10),
        "test": dict.fromkeys(reports.LABELS, 20),
    },
    "weights": {"reference": "registry:base@champion", "resolved": "registry:base/4"},
    "config_digest": "2" * 64,
    "versions": {"frostline": "0.1.0", "python": "3.11.4", "tensorflow": "2.21.0", "keras": "3.15.1"},
    "image": "frostline:0.1.0",
}


@pytest.fixture
def card(tmp_path):
    """Writes the artifacts and their card; returns its Markdown and its HTML."""

    def make(labels=reports.LABELS, plan=None, proof=None, decision=None, provenance=None, evaluation=None, before=0):
        model = {
            "labels": list(labels), "image_size": 32, "backbone": "Toy", "head": {"hidden": [], "dropout": 0.0},
            "model_digest": "d" * 64, "dataset_digest": "a" * 64, "parameters": 12345,
        }  # fmt: skip
        if provenance:
            model["provenance"] = provenance
        certificate = {
            "verified": True, "frozen_tensors": 13, "replicas": 1, "plan_digest": "3" * 64, "source_digest": "4" * 64,
            "certificate_digest": "5" * 64, **(proof or {}),
        }  # fmt: skip
        where = tmp_path / "model"
        artifacts.write_json(where / "model.json", "model", model)
        artifacts.write_json(where / "freeze_plan.json", "freeze_plan", plan or reports.plan())
        artifacts.write_json(where / "freeze_certificate.json", "freeze_certificate", certificate)
        artifacts.write_jsonl(where / "training.jsonl", reports.HISTORY)
        images = {"train": range(40), "validation": range(40, 47), lineage.BEFORE: range(before)}
        lineage.write(where, {split: [f"{n:064x}" for n in numbers] for split, numbers in images.items()})
        measured = {**reports.evaluation(labels), **(evaluation or {})}
        artifacts.write_json(tmp_path / "evaluation" / "evaluation.json", "evaluation", measured)
        decided = decision or reports.decision()
        artifacts.write_json(tmp_path / "decision" / "decision.json", "decision", decided)
        model_card.write(tmp_path, where, tmp_path / "evaluation", tmp_path / "decision")
        return (tmp_path / "model_card.md").read_text(), (tmp_path / "model_card.html").read_text()

    return make


def words(page):
    """The words of an HTML page, without its styles."""
    body = re.sub(r"<style>.*?</style>|<title>.*?</title>|<[^>]+>", " ", page, flags=re.S)
    return html.unescape(body).split()


def test_both_cards_say_the_same(card):
    markdown, page = card(provenance=PROVENANCE)
    assert words(MarkdownIt("commonmark").enable("table").render(markdown)) == words(page)
    assert re.findall("^## (.*)$", markdown, re.M) == [
        "What it is and what it is for", "Data", "What was frozen", "Quality", "Comparison with the champion", "Limits",
        "How to serve it", "Provenance",
    ]  # fmt: skip


def test_the_same_artifacts_give_the_same_bytes(card):
    assert card() == card()


def test_what_train_wrote_down_of_the_origin_is_told_and_what_it_did_not_is_called_so(card):
    markdown, _ = card(provenance=PROVENANCE)
    assert "Source: gs\\://bucket/flowers. Distinct images: 40 for training, 7 for validation." in markdown
    assert "started from was made with" not in markdown
    told = "The version that training started from was made with 30 images."
    assert told in card(provenance=PROVENANCE, before=30)[0]
    assert "| rose | 70 | 10 | 20 |" in markdown
    assert "Initial weights: registry:base/4." in markdown
    assert "| tensorflow | 2.21.0 |" in markdown
    assert "not recorded" not in markdown
    markdown, _ = card()
    assert "Source: not recorded." in markdown
    assert "Initial weights: digest 444444444444." in markdown
    assert "| keras | not recorded |" in markdown


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"through": "block1"}, "All 4 layers up to and including sum were frozen."),
        ({"head_only": True}, "All 5 layers of the backbone were frozen."),
        ({"none": True, "batch_norm": "follow"}, "No layer of the backbone was frozen."),
    ],
)
def test_the_freeze_plan_is_told_in_words(card, section, told):
    markdown, _ = card(plan=reports.plan(**section))
    assert told in markdown


def test_the_certificate_is_quoted_and_never_claimed_where_it_proves_nothing(card):
    assert "proves that 13 tensors are bit-identical before and after training, on one replica." in card()[0]
    assert "bit-identical before and after training, on each of 4 replicas." in card(proof={"replicas": 4})[0]
    markdown, _ = card(proof={"verified": False})
    assert "does not prove" in markdown
    assert "bit-identical" not in markdown


def test_numbers_are_those_of_the_evaluation_with_their_intervals(card):
    markdown, _ = card()
    assert "| accuracy | 89.1 % | 87.1 % to 91.1 % | wilson |" in markdown
    assert "| Brier score (0 to 2) | 0.1612 | 0.1472 to 0.1752 | normal |" in markdown
    assert "| camera | studio | 310 | 83.0 % (80.0 % to 86.0 %) |" in markdown
    daisy = reports.evaluation()["per_class"][0]
    assert f"| daisy | {daisy['examples']} | {100 * daisy['precision']['value']:.1f} % (" in markdown
    assert "a difference of +2.2 points (+0.4 to +4.0)" in markdown
    assert "12 test images are excluded" in markdown
    assert (
        "Measured on 775 test images: the original files, through the exported model. None of them was in the training"
        in markdown
    )
    assert "exported model. 4 of them were in the training" in card(evaluation={"leaked": 4})[0]


def test_a_class_that_was_never_predicted_has_no_precision(card):
    rows = reports.evaluation()["per_class"]
    rows[0] |= {"precision": None, "predicted": 0}
    assert re.search(r"\| daisy \| 133 \| none \| 90\.2 %", card(evaluation={"per_class": rows})[0])


def test_without_a_champion_or_with_one_that_cannot_be_compared_the_card_says_so(card):
    assert "There was no champion yet." in card(evaluation={"champion": None})[0]
    champion = {"version": 3, "comparable": False, "reason": "it knows labels that this model lacks"}
    assert (
        "It could not be compared with the champion, version 3: it knows labels"
        in card(evaluation={"champion": champion})[0]
    )


def test_limits_name_what_was_not_measured(card):
    markdown, _ = card(evaluation={"slices": []})
    assert "it is not known whether it is worse on some kinds of images" in markdown
    assert "EXIF orientation is ignored, transparency (alpha) is dropped" in markdown
    assert "- This test split has already decided 2 promotions." in markdown
    assert "Fewer than 30" not in card()[0]


def test_hostile_class_names_stay_text_in_both(card):
    labels = ("<script>x</script>", "a|b", "[c](https://e.org)", '"d"', "*e*")
    markdown, page = card(labels)
    assert "<script" not in markdown + page
    assert "| a\\|b |" in markdown
    assert words(MarkdownIt("commonmark").enable("table").render(markdown)) == words(page)


def test_the_example_of_the_card_is_python(card):
    code = re.search("```python\n(.*?)\n```", card()[0], re.S)[1]
    compile(code, "card", "exec")


def test_a_missing_document_is_told_in_one_line(card, tmp_path):
    card()
    (tmp_path / "model" / "images.parquet").unlink()
    with pytest.raises(DataError, match=r"images\.parquet: cannot be read"):
        model_card.write(tmp_path, tmp_path / "model", tmp_path / "evaluation", tmp_path / "decision")
    (tmp_path / "decision" / "decision.json").write_text(json.dumps({"schema": "other"}))
    with pytest.raises(DataError):
        model_card.write(tmp_path, tmp_path / "model", tmp_path / "evaluation", tmp_path / "decision")
