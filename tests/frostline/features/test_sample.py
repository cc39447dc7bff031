"""The images that a run proves: a function of the seed, the same however the images are shared among workers."""

import hashlib
import random
from collections import Counter

from frostline.features import sample


def row(number, split="train"):
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    place = {"id": f"{number}.png", "uri": f"/photos/{number}.png", "offset": 0, "size": 9, "sha256": sha256}
    return {**place, "label": number % 3, "split": split}


ROWS = [row(number, ("train", "train", "validation", "test")[number % 4]) for number in range(200)]


def test_a_few_images_of_training_and_validation_are_chosen_in_any_order_of_the_rows():
    found = sample.choose(ROWS, 0)
    assert Counter(row["split"] for row in found) == {"train": sample.SIZE, "validation": sample.SIZE}
    assert all(row in ROWS for row in found)
    assert sample.choose(random.Random(1).sample(ROWS, len(ROWS)), 0) == found
    assert sample.choose([{**row, "metadata": {"site": "north"}} for row in ROWS], 0) == found


def test_another_seed_chooses_others_so_that_in_time_every_image_is_chosen():
    wanted = {row["sha256"] for row in ROWS if row["split"] != "test"}
    seen = [{row["sha256"] for row in sample.choose(ROWS, seed)} for seed in range(60)]
    assert seen[0] != seen[1]
    assert set().union(*seen) == wanted


def test_what_the_shares_chose_has_the_choice_of_all_in_it():
    for shares in (1, 2, 7):
        documents = [{"sample": sample.choose(ROWS[share::shares], 5)} for share in range(shares)]
        assert sample.of_run(documents, 5) == sample.choose(ROWS, 5)
    assert sample.of_run([{"uses": []}], 5) == []  # of an earlier version


def test_few_images_are_all_chosen_and_copies_once():
    few = [row(number) for number in range(9)]
    found = sample.choose([*few, *few], 0)
    assert sorted(row["id"] for row in found) == sorted(row["id"] for row in few)
