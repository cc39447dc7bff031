"""When the features of the frozen prefix are kept, what they take, and what the reason says."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline.data.config import AugmentConfig
from frostline.errors import ConfigError
from frostline.features import cache_plan
from frostline.features.config import CacheConfig
from frostline.freeze.phases import phases

FLIP = AugmentConfig(flip=True)
TOTALS = {"train": 245, "validation": 153}
ROW = 17 * 17 * 768 * 4
# as make_plan gives the boundaries of InceptionV3 at 299 px, without what nobody here reads
LAYERS = [{"name": name, "frozen": False, "block": name, "parameters": 1} for name in ("stem", "mixed3", "mixed7")]
STEM = {"layer": "stem", "shape": [35, 35, 192], "flops_below": 2_000_000_000}
MIXED3 = {"layer": "mixed3", "shape": [17, 17, 768], "flops_below": 6_700_000_000}
MIXED7 = {"layer": "mixed7", "shape": [17, 17, 768], "flops_below": 10_000_000_000}
POOL = {"layer": "head_pool", "shape": [2048], "flops_below": 11_400_000_000}


def plan_of(*parts, image_size=299):
    """A plan with a phase for each (boundary, epochs); the first one's epochs are the run's."""
    later = [
        {"policy": {}, "epochs": epochs, "learning_rate": 0.1, "frozen": [], "boundary": boundary}
        for boundary, epochs in parts[1:]
    ]
    return {"policy": {}, "layers": LAYERS, "image_size": image_size, "boundary": parts[0][0], "phases": later}


def decided(*parts, augment=None, totals=TOTALS, image_size=299, **cache):
    plan = plan_of(*parts, image_size=image_size)
    schedule = phases(plan, parts[0][1], 0.1)
    return cache_plan.decide(plan, schedule, totals, CacheConfig(**cache), augment or AugmentConfig())


def test_a_frozen_prefix_runs_once_an_image_and_the_reason_says_what_that_takes_and_saves():
    [use] = decided((MIXED7, 10))
    assert (use.phase, use.layer, use.views, use.bytes, use.passes_saved) == (1, "mixed7", 1, 398 * ROW, 9)
    assert use.reason == "features at mixed7: 398 images x 1 view x 888 kB = 353 MB; 9 of 10 passes saved"


def test_the_stored_type_halves_what_they_take():
    assert decided((MIXED7, 10), dtype="bfloat16")[0].bytes == 398 * ROW // 2


def test_variants_are_stored_for_training_images_only_and_no_more_than_are_seen():
    [use] = decided((MIXED7, 10), augment=AugmentConfig(flip=True, views=3))
    assert (use.views, use.bytes, use.passes_saved) == (3, (245 * 3 + 153) * ROW, 7)
    assert use.reason == (
        "features at mixed7: (245 images x 3 views + 153) x 888 kB = 788 MB; 7 of 10 passes saved, "
        "9 of 10 over the validation split"
    )
    [use] = decided((MIXED7, 2), augment=AugmentConfig(flip=True, views=3), mode="require")
    assert (use.views, use.passes_saved) == (2, 0)


def test_a_new_variant_in_every_epoch_is_not_stored_and_says_what_it_would_save():
    [use] = decided((MIXED7, 10), augment=FLIP)
    assert (use.layer, use.views, use.bytes, use.passes_saved) == ("", 10, 0, 0)
    assert "0 of 10 passes over the training split saved" in use.reason
    assert "only 9 of 10 over the validation split would be" in use.reason
    [use] = decided((MIXED7, 10), augment=FLIP, totals={"train": 245, "validation": 0})
    assert "validation" not in use.reason


def test_a_single_epoch_is_not_stored():
    [use] = decided((MIXED7, 1))
    assert use.layer == ""
    assert use.reason.endswith("0 of 1 passes over the training split saved, because each view is read once")


def test_two_phases_of_one_epoch_each_share_their_features():
    first, second = decided((MIXED7, 1), (MIXED7, 1))
    assert (first.layer, first.passes_saved) == ("mixed7", 0)
    assert (second.layer, second.passes_saved) == ("mixed7", 1)
    assert second.reason.endswith("353 MB, shared with earlier phases; 1 of 1 passes saved")


def test_what_moved_in_an_earlier_phase_is_not_reused_later():
    uses = decided((MIXED3, 3), (POOL, 3))
    assert [use.layer for use in uses] == ["mixed3", "mixed3"]
    uses = decided((POOL, 3), (MIXED7, 3), (None, 3), (POOL, 3))
    assert [use.layer for use in uses] == ["head_pool", "mixed7", "", ""]
    assert uses[3].reason == "no frozen prefix with the source's weights"


def test_features_that_are_read_slower_than_computed_are_not_stored():
    wide = {"layer": "stem", "shape": [64, 64, 512], "flops_below": 100_000_000}  # 8.4 ms to read; 1 + 0.1 to compute
    [use] = decided((wide, 10), image_size=64)
    assert use.layer == ""
    assert use.reason.startswith("features at stem: reading 8.39 MB takes 8.4 ms per image, computing them 1.1 ms")
    assert decided((wide, 10), image_size=1024)[0].layer == "stem"  # decoding the image costs more
    assert decided((wide, 10), image_size=64, mode="require")[0].layer == "stem"


def test_a_phase_that_does_not_fit_beside_those_before_is_left_out_and_shared_features_count_once():
    one = 398 * ROW / 1e9
    assert [use.layer for use in decided((MIXED7, 5), (MIXED7, 5), limit_gb=one)] == ["mixed7", "mixed7"]
    assert [use.layer for use in decided((MIXED7, 5), (MIXED3, 5), limit_gb=1.5 * one)] == ["mixed7", ""]
    [_, left_out] = decided((MIXED7, 5), (MIXED3, 5), limit_gb=0.5)
    assert left_out.reason == "phase 2: with its features at mixed3 the cache needs 707 MB, and cache.limit_gb is 0.5"
    assert [use.layer for use in decided((POOL, 5), (MIXED3, 5), limit_gb=0.99 * one)] == ["head_pool", ""]


def test_phases_that_share_a_layer_take_the_union_of_their_views():
    views = AugmentConfig(flip=True, views=4)
    parts = ((MIXED7, 3), (MIXED7, 3))  # epochs see 0 1 2 and 3 0 1: four views of each image in all
    exact = (245 * 4 + 153) * ROW / 1e9
    assert [use.layer for use in decided(*parts, augment=views, limit_gb=exact)] == ["mixed7", "mixed7"]
    assert [use.layer for use in decided(*parts, augment=views, limit_gb=exact - 1e-9)] == ["mixed7", ""]
    first, second = decided(*parts, augment=views)
    assert (first.passes_saved, second.passes_saved) == (0, 2)
    assert (first.bytes, second.bytes) == ((245 * 3 + 153) * ROW,) * 2


def test_required_features_that_do_not_fit_or_have_no_prefix_are_refused():
    with pytest.raises(ConfigError, match=r"cache: received 'require'; phase 1: .* needs 353 MB, and cache.limit_gb"):
        decided((MIXED7, 10), mode="require", limit_gb=0.3)
    with pytest.raises(ConfigError, match="cache: received 'require'; no phase has a frozen prefix") as caught:
        decided((None, 10), (MIXED7, 10), mode="require")
    assert caught.value.exit_code == 2


def test_nothing_is_kept_where_the_cache_is_off():
    [use] = decided((MIXED7, 10), mode="off")
    assert (use.layer, use.bytes, use.passes_saved, use.reason) == ("", 0, 0, "cache: off")


def test_an_epoch_counts_its_view_over_the_whole_run():
    schedule = phases(plan_of((MIXED7, 3), (MIXED7, 2)), 3, 0.1)
    assert cache_plan.views_by_phase(schedule, AugmentConfig()) == ((0, 0, 0), (0, 0))
    assert cache_plan.views_by_phase(schedule, FLIP) == ((0, 1, 2), (3, 4))
    assert cache_plan.views_by_phase(schedule, AugmentConfig(flip=True, views=2)) == ((0, 1, 0), (1, 0))
    assert cache_plan.views_of_run(schedule, AugmentConfig(flip=True, views=9)) == 5


def test_what_is_needed_is_named_once_in_the_order_in_which_phases_read_it():
    parts = ((MIXED7, 3), (MIXED7, 2), (STEM, 3))
    schedule, plain = phases(plan_of(*parts), 3, 0.1), cache_plan.PLAIN
    assert cache_plan.needed(decided(*parts), schedule, AugmentConfig()) == [("mixed7", plain), ("stem", plain)]
    views = AugmentConfig(flip=True, views=2)
    found = cache_plan.needed(decided(*parts, augment=views), schedule, views)
    assert found == [
        (layer, view) for layer, first in (("mixed7", 0), ("stem", 1)) for view in (plain, first, 1 - first)
    ]
    assert cache_plan.needed(decided(*parts, mode="off"), schedule, views) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (887_808, "888 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (353_347_584, "353 MB"),
        (5 * 10**15, "5,000 TB"),
    ],
)
def test_bytes_are_told_in_three_digits(number, words):
    assert cache_plan.size_words(number) == words


boundaries = st.sampled_from([None, STEM, MIXED3, MIXED7, POOL])
augments = st.builds(AugmentConfig, flip=st.just(True), views=st.integers(0, 5)) | st.just(AugmentConfig())


@settings(deadline=None, max_examples=300)
@given(
    parts=st.lists(st.tuples(boundaries, st.integers(1, 6)), min_size=1, max_size=4),
    augment=augments,
    totals=st.fixed_dictionaries({"train": st.integers(1, 400), "validation": st.integers(0, 400)}),
    dtype=st.sampled_from(["float32", "float16", "bfloat16"]),
    limit=st.floats(1e-4, 10.0),
)
def test_whatever_is_decided_adds_up(parts, augment, totals, dtype, limit):
    options = {"augment": augment, "totals": totals, "dtype": dtype, "limit_gb": limit}
    uses = decided(*parts, **options)
    assert uses == decided(*parts, **options)
    assert [use.phase for use in uses] == list(range(1, len(parts) + 1))
    assert not [use for use in decided(*parts, **{**options, "mode": "off"}) if use.layer]
    for use, (_, epochs) in zip(uses, parts, strict=True):
        assert 0 <= use.passes_saved <= epochs
        assert 1 <= use.views <= epochs
        assert (use.bytes > 0) == bool(use.layer)
        assert use.reason
        assert "\n" not in use.reason
    largest = {layer: max(use.bytes for use in uses if use.layer == layer) for layer in {u.layer for u in uses} - {""}}
    assert sum(largest.values()) <= limit * 1e9
    try:
        required = decided(*parts, **{**options, "mode": "require"})
    except ConfigError as error:
        assert "\n" not in str(error)
        reusable = [phase.reusable for phase in phases(plan_of(*parts), parts[0][1], 0.1)]
        assert not any(reusable) or "" in [use.layer for use, name in zip(uses, reusable, strict=True) if name]
        return
    assert [use.layer for use in required] == [phase.reusable for phase in phases(plan_of(*parts), parts[0][1], 0.1)]
    assert all(use.layer in ("", forced.layer) for use, forced in zip(uses, required, strict=True))


def test_deciding_imports_no_tensorflow():
    code = (
        "import sys; import frostline.features.cache_plan; sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
