"""The review: what a colleague would write, with the numbers in words."""

from frostline.gating.review import as_markdown

from tests.support.evaluations import CERTIFICATE, champion, decide, evaluated


def paragraphs(decision):
    return as_markdown(decision).split("\n\n")


def test_a_promotion_says_what_it_rests_on_and_what_would_change_it():
    headline, decided, change, table, slices, rows, model = paragraphs(decide())
    assert headline == "# Promote: this model can replace the one in production"
    assert decided.startswith(
        "All 14 checks passed. 950 of 1,000 test images are classified correctly, 95 %, at least 93.7"
    )
    assert "only this model is correct on 10 and only the champion, version 3, on 5: +0.50 points" in decided
    assert change.startswith(
        "**What would change this decision.** If another model becomes the champion before this one"
    )
    assert "No limit is set for classes, slices_floor, calibration, latency, size." in change
    assert len(table.splitlines()) == 2 + 14
    assert slices.startswith("**Slices**, with the smallest loss that the check could have shown")
    assert "| champion | camera | field | 1,000 | +0.50 points | 11.7 points | pass |" in rows
    assert model == "Model: new\n"


def test_a_hold_names_the_checks_their_reasons_and_what_would_help():
    decision = decide(evaluated(600), {**CERTIFICATE, "moved": ["stem/0:kernel"]}, max_size_mb=50.0)
    headline, decided, change, *_ = paragraphs(decision)
    assert headline == "# Hold: the model in production stays"
    assert decided.startswith("3 of 14 checks failed: freeze, accuracy, size. The freeze certificate says")
    assert "600 of 1,000 test images are classified correctly, 60 %" in decided
    for remedy in ("raining again", "a more accurate model", "fewer parameters"):
        assert remedy in change


def test_evidence_that_cannot_be_used_asks_for_evidence_not_for_a_better_model():
    decided, change = paragraphs(decide("evaluation.json: is missing"))[1:3]
    assert "Evaluation.json: is missing" not in decided
    assert "The evidence cannot be used: evaluation.json: is missing." in decided
    assert change == (
        "**What would change this decision.** Evidence that can be read, is consistent and has the configured "
        "confidence level."
    )
    assert decided.count("evaluation.json: is missing") == 1


def test_an_inconclusive_review_says_how_many_images_are_needed():
    decision = decide(evaluated(95, 100, champion=champion(94, 1, 1, 4)))
    headline, decided, change, *_ = paragraphs(decision)
    assert headline == "# Inconclusive: the model in production stays"
    assert decided.startswith("No check failed, but 1 of 14 cannot be decided with these test images: champion.")
    assert (
        f"About {decision['examples_needed']:,} test images in total are needed to decide, with a power of 80 %"
        in change
    )
    decided, change = paragraphs(decide(evaluated(79, 100)))[1:3]
    assert change.endswith("A better model, or a lower floor. At the observed rates, more test images would not help.")
    loose = paragraphs(decide(evaluated(79, 100, champion=champion(71, 8, 12, 9))))[2]
    assert loose.endswith(
        "A better model, or a lower floor, or a wider margin. At the observed rates, more test images would not help."
    )


def test_a_promotion_that_waits_for_a_person_says_so_first_and_notes_come_after_the_table():
    evaluation = evaluated(columns_left_out=["serial"])
    headline, *_, heading, notes, model = paragraphs(decide(evaluation, approval="required"))
    assert headline.startswith("# Promote, once a person approves")
    assert (heading, notes) == ("**Notes**", "- No slices for serial: too many different values.")
    assert model.startswith("Model: ")
