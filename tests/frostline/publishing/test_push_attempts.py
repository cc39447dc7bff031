"""What push says of an attempt in the registry, and what it demands of the reference."""

import pytest

from frostline import registry
from frostline.errors import RegistryError
from frostline.evaluation import kept_predictions

from tests.support.attempts import against, attempt
from tests.support.pushes import Run, compared_with

WHO = {"approver": "Ada", "reason": "the one of the audit"}


@pytest.fixture
def evaluated(root, made, tmp_path):
    """A function that records an evaluation and makes the run that pushes its model."""

    def evaluated(name, reference=None, pinned=False, **decided):
        champion = registry.champion(root, "digits")
        one = attempt(name, champion=champion)
        if reference is not None:
            one = one.model_copy(update={"reference": registry.Against(**against(reference, pinned=pinned))})
        registry.begin(root, one)
        compared = champion and compared_with(root)
        return Run(tmp_path / name, root, made, name, compared, attempt=one.attempt, **decided)

    return evaluated


def attempts(root):
    return {one.attempt: one for one in registry.attempts(root, "digits")}


def concluded(root, name):
    return attempts(root)[attempt(name).attempt]


def test_a_promotion_names_its_attempt_and_keeps_what_the_model_predicted(root, evaluated):
    assert evaluated("d1", becomes_reference=True).push().startswith("pushed: ")
    [entry] = registry.history(root, "digits")
    one = concluded(root, "d1")
    assert (entry.attempt, one.version, one.outcome) == (one.attempt, 1, "pushed")
    assert one.becomes_reference
    labels, predicted = kept_predictions.read(registry.predictions(root, one))
    assert predicted == {"a" * 64: labels[0], "b" * 64: labels[1]}


def test_a_repeated_push_changes_nothing(root, evaluated):
    run = evaluated("d1", becomes_reference=True)
    run.push()
    before = concluded(root, "d1")
    run.push()
    assert concluded(root, "d1").model_dump(exclude={"reason"}) == before.model_dump(exclude={"reason"})
    assert [one.version for one in registry.references(root, "digits")] == [1]


def test_the_model_becomes_the_reference_where_the_gate_says_so(root, evaluated):
    evaluated("d1", becomes_reference=True).push()
    first = registry.champion(root, "digits")
    evaluated("d2", first, becomes_reference=False).push()
    assert [one.version for one in registry.references(root, "digits")] == [1, 2]
    evaluated("d3", first, becomes_reference=True).push()
    assert [one.version for one in registry.references(root, "digits")] == [3]


def test_a_reference_that_was_pinned_meanwhile_holds_the_push(root, evaluated):
    evaluated("d1", becomes_reference=True).push()
    first = registry.champion(root, "digits")
    late = evaluated("d2", first)
    registry.pin(root, "digits", 1, **WHO)
    told = "held: digits: the reference is version 1 now; version 2 was compared with version 1"
    assert late.push() == told
    assert registry.champion(root, "digits") == first
    assert (concluded(root, "d2").outcome, concluded(root, "d2").reason) == ("held", told.removeprefix("held: "))
    assert evaluated("d3", first, pinned=True).push() == "pushed: digits version 3 is the champion"


def test_a_candidate_keeps_its_attempt_until_a_person_approves_it(root, evaluated):
    evaluated("d1", becomes_reference=True).push()
    first = registry.champion(root, "digits")
    assert evaluated("d2", first, approval="required").push().startswith("candidate: ")
    assert (concluded(root, "d2").outcome, concluded(root, "d2").version) == ("candidate", 2)
    assert registry.standing(root, "digits", 2).attempt == attempt("d2").attempt
    registry.approve(root, "digits", 2, **WHO)
    assert registry.history(root, "digits")[-1].attempt == attempt("d2").attempt


def test_an_attempt_of_another_registry_publishes_but_never_promotes(root, made, tmp_path):
    run = Run(tmp_path / "run", root, made, attempt="0" * 16)
    with pytest.raises(RegistryError, match="evaluate with this registry first"):
        run.push()
    assert registry.champion(root, "digits") is None
