"""What a training tells of itself: by phase, and in sentences."""

import json

import pytest

from frostline.features.cache_plan import Use
from frostline.training import report
from frostline.training.state import State


def row(epoch, phase, seconds=2.0, wait=0.5, rate=10.0):
    measured = {"seconds": seconds, "input_wait": wait, "images_per_second": rate}
    return {"epoch": epoch, "phase": phase, "loss": 1 / epoch, "validation_loss": 2 / epoch, **measured}


PROOF = {"layer": "pool", "images": 16, "max_difference": 3e-7, "agreement": 1.0, "exact": True, "limit": 1e-5}
USES = [Use(1, "pool", 1, 800, 3, "features at pool: 8 images"), Use(2, "", 1, 0, 0, "no frozen prefix")]
MEMORY = {"host_bytes": 1_500_000_000, "device_bytes": {}}


def make(history, proofs=(PROOF, None), resumed_from=None, computed=0):
    state = State(history=history, proofs=list(proofs))
    verdicts = {"pool": {"computed_in": "float32", "reason": "as configured", "uri": ""}}
    return report.make(
        state, USES, [{"layer": "pool"}], verdicts,
        fingerprint="0" * 64, computed=computed, resumed_from=resumed_from, replicas=2, memory=MEMORY,
    )  # fmt: skip


def test_each_phase_has_its_own_epochs_time_and_speed():
    told = make([row(1, 1, 1.0, 0.9, 30.0), row(2, 1, 3.0, 0.1, 10.0), row(3, 2, 4.0, 0.05, 5.0)])
    first, second = told["phases"]
    assert (first["epochs"], first["seconds"]) == (2, 4.0)
    assert first["images_per_second"] == 15.0  # 30 + 30 images in 4 seconds
    assert first["input_wait"] == pytest.approx((0.9 + 0.3) / 4)
    assert first["bound"] == "bound by reading cached features: 30 % of the time spent waiting for input"
    assert (second["epochs"], second["layer"], second["reason"]) == (1, "", "no frozen prefix")
    assert second["bound"].startswith("bound by compute: 5 %")


def test_input_of_a_phase_without_a_cache_is_the_decoding_of_records():
    assert make([row(1, 2)])["phases"][1]["bound"].startswith("bound by input (decoding records)")


def test_a_phase_that_stopped_before_its_first_epoch_divides_by_nothing():
    assert make([row(1, 1)])["phases"][1]["images_per_second"] == 0


def test_sentences_say_what_was_cached_proven_resumed_and_needed():
    told = make([row(1, 1), row(2, 2)], resumed_from=7)
    assert told["sentences"] == [
        "Phase 1: features at pool: 8 images; bound by reading cached features: 50 % of the time spent waiting for "
        "input.",
        "Phase 2: no frozen prefix; bound by input (decoding records): 50 % of the time spent waiting for input.",
        "The prefix up to pool computes in float32: as configured.",
        "On 16 images, the whole model and the part above pool on cached features agree in 100 % of the predictions; "
        "probabilities differ by at most 3e-07.",
        "Training resumed from the checkpoint at step 7.",
        "Peak memory of the process: 1.5 GB.",
    ]


def test_a_training_that_was_never_resumed_or_cached_says_nothing_of_it():
    told = make([row(1, 1)], proofs=[None, None])
    assert (told["equality"], told["resumed_from"]) == ([], None)
    assert not any("checkpoint" in sentence or "cached features agree" in sentence for sentence in told["sentences"])


def test_the_document_is_json_and_has_the_numbers_as_they_were_given():
    told = json.loads(json.dumps(make([row(1, 1)], computed=5), allow_nan=False))
    assert (told["prefix_images"], told["replicas"], told["memory"]) == (5, 2, MEMORY)
    assert told["equality"] == [PROOF]
    assert told["cache"] == [{"layer": "pool"}]
