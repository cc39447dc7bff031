"""Cached features stand for the model, or training says that they do not: whatever the store's digests say."""

import keras
import numpy as np
import pytest

from frostline.data import examples
from frostline.data.batches import Images
from frostline.data.config import AugmentConfig
from frostline.errors import FeaturesDisagree
from frostline.features import equivalence, packs, prefix
from frostline.features.packs import Layout
from frostline.features.prefix import Prefix
from frostline.features.source import Features
from frostline.model import arithmetic, backbones, head
from frostline.model.config import HeadConfig

from tests.support import pictures, recorded, tensor_float_32

SIZE, COUNT = 16, 40
LAYER = "block2_pool"
PLAIN = AugmentConfig()
VARIED = AugmentConfig(flip=True, colour=0.5)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = head.attach(backbones.build("SmallConvNet", SIZE), HeadConfig(), 3)
    pooled = Prefix(lambda: model, "SmallConvNet", "head_pool")(coloured(30))
    means = pooled.reshape(10, 3, -1).mean(axis=0)  # of each colour
    towards = (means - means.mean(axis=0)).T
    kernel = 3 * towards / (towards**2).sum(axis=0)  # a head that knows the colours: logits of some 3
    model.get_layer("head_logits").set_weights([kernel, -means.mean(axis=0) @ kernel])
    return model


def coloured(count):
    """Noise around one of three colours an image."""
    colours = np.array(list(pictures.COLOURS.values()))[np.arange(count) % 3]
    return (recorded.noise(count, SIZE) // 8 + colours[:, None, None] * 7 // 8).astype(np.uint8)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("equality")
    found = examples.load(str(recorded.write(root / "records", coloured(COUNT))), "train", root)
    yield found
    found.close()


@pytest.fixture
def cached(tmp_path, model, found):
    """A function that makes the features and hands them out, some rows changed on the way."""
    opened = []

    def cached(change=lambda _, rows: rows, dtype="float32", low=False, augment=PLAIN, view=0, device="CPU"):
        function = Prefix(lambda: model, "SmallConvNet", LAYER)
        function = function.lowered() if low else function
        root, layout = str(tmp_path / str(len(opened))), Layout(function.shape, dtype)

        class Changing(packs.Writer):
            def add(self, ids, rows):
                super().add(ids, change(ids, rows))

        with Changing(root, layout, computed_on=device) as writer:
            source = Images(found, SIZE, augment)
            assert sum(prefix.fill(function, source, np.arange(COUNT), view, writer, layout)) == COUNT
        opened.append(packs.Reader(root, writer.packs, layout, tmp_path))
        return Features(found, {view: opened[-1]}, layout, LAYER)

    yield cached
    for reader in opened:
        reader.close()


def prove(model, cached, *, exact, augment=PLAIN):
    images = Images(cached.examples, SIZE, augment)
    return equivalence.require_equivalent(model, "SmallConvNet", [equivalence.take(cached, images)], exact=exact)


def moved(ids, rows):
    """Of the image that sorts first, and is in every sample, another value in one channel."""
    changed = rows.copy()
    for number, identifier in enumerate(ids):
        if identifier == min(map(recorded.identifier, range(COUNT))):
            changed[number, 0, 0, 0] += 3.0
    return changed


def test_right_features_are_proven_to_the_last_digits(model, cached):
    proof = prove(model, cached(), exact=True)
    assert (proof["layer"], proof["exact"], proof["agreement"]) == (LAYER, True, 1.0)
    assert proof["max_difference"] <= proof["limit"] == 1e-5
    assert 8 <= proof["images"] <= COUNT


def test_variants_are_compared_with_variants(model, cached):
    assert prove(model, cached(augment=VARIED, view=1), exact=True, augment=VARIED)["max_difference"] <= 1e-5
    with pytest.raises(FeaturesDisagree):
        prove(model, cached(augment=VARIED, view=1), exact=True)


def test_one_value_of_one_image_that_moved_is_noticed(model, cached):
    with pytest.raises(
        FeaturesDisagree, match=rf"^the features cached at {LAYER} are not equivalent to the model: on \d+ im"
    ):
        prove(model, cached(moved), exact=True)


def test_a_row_of_another_image_is_noticed_where_no_probability_changes(model, cached):
    indifferent = keras.models.clone_model(model)
    indifferent.set_weights(model.get_weights())
    logits = indifferent.get_layer("head_logits")
    logits.set_weights([np.zeros_like(part) for part in logits.get_weights()])
    first = min(map(recorded.identifier, range(COUNT)))

    def planted(ids, rows):
        return np.where(np.array([one == first for one in ids])[:, None, None, None], np.roll(rows, 1, axis=0), rows)

    assert prove(indifferent, cached(), exact=True)["max_difference"] == 0.0
    expected = (
        rf"probabilities by up to 0, and 100\.0 % of the predictions agree; most of all differs the image {first};"
    )
    with pytest.raises(FeaturesDisagree, match=expected):
        prove(indifferent, cached(planted), exact=True)


def test_features_that_are_zero_are_compared_without_a_warning(model):
    def zero(change=0.0):
        rows = np.zeros((4, 2, 2, 3), np.float32)
        rows[1] += change
        return rows

    with np.errstate(all="raise"):
        assert equivalence._by_image(zero(), zero()).tolist() == [0.0] * 4
        assert equivalence._by_image(zero(), zero(1.0))[1] > 1.0
    assert equivalence._by_image(zero(1.0), zero()).tolist() == [0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("count", [1, 3, 5, 16, 40])
def test_each_image_and_each_view_has_its_turn(cached, tmp_path, count):
    made = [cached(augment=VARIED, view=view) for view in range(3)]
    readers = {view: one.readers[view] for view, one in enumerate(made)}
    few = examples.load(str(recorded.write(tmp_path / "few", coloured(COUNT)[:count])), "train", tmp_path)
    taken = equivalence.take(Features(few, readers, made[0].layout, LAYER), Images(few, SIZE, VARIED))
    few.close()
    assert len(taken.ids) == len(taken.pixels) == len(taken.rows) == min(3 * count, 16)
    assert len(set(taken.ids)) == min(count, 16)
    pairs = {(one, row.tobytes()) for one, row in zip(taken.ids, taken.rows, strict=True)}
    assert len(pairs) == len(taken.ids)  # no image twice in one view
    seen = {view for one, row in pairs for view, of in readers.items() if of.read([one])[0].tobytes() == row}
    assert seen == {0, 1, 2}


def test_rows_that_changed_places_are_noticed(model, cached):
    for exact in (True, False):
        with pytest.raises(FeaturesDisagree):
            prove(model, cached(lambda _, rows: rows[::-1]), exact=exact)


@pytest.mark.parametrize(
    ("dtype", "low"), [("bfloat16", False), pytest.param("float32", True, marks=pytest.mark.bfloat16)]
)
def test_rounded_features_need_not_agree_in_digits(model, cached, dtype, low):
    proof = prove(model, cached(dtype=dtype, low=low), exact=False)
    assert 1e-5 < proof["max_difference"] <= proof["limit"] == 0.1
    assert 1e-4 < proof["relative_l2"] <= 1e-2
    if low:  # more than another device's float32 explains
        with pytest.raises(FeaturesDisagree, match=r"100\.0 % of the predictions agree"):
            prove(model, cached(dtype=dtype, low=low), exact=True)


def test_what_rounding_does_not_explain_is_noticed_where_no_prediction_changes(model, cached):
    for factor, right in ((1.01, True), (1.06, False)):
        scaled = cached(lambda _, rows, by=factor: rows * np.float32(by))
        if right:
            assert prove(model, scaled, exact=False)["relative_l2"] == pytest.approx(0.01, rel=1e-3)
        else:
            with pytest.raises(FeaturesDisagree, match=r"differ by 0\.06 .* 100\.0 % of the predictions agree"):
                prove(model, scaled, exact=False)


def test_one_image_may_be_off_by_more_than_all_but_not_by_much_more(model, cached):
    first = min(map(recorded.identifier, range(COUNT)))

    def off(by):
        return lambda ids, rows: np.where(np.array([one == first for one in ids])[:, None, None, None], by * rows, rows)

    assert 0 < prove(model, cached(off(np.float32(1.08))), exact=False)["relative_l2"] < 0.05
    with pytest.raises(FeaturesDisagree, match=rf"differ by 0\.0[1-4]\d* .*; most of all differs the image {first}$"):
        prove(model, cached(off(np.float32(1.12))), exact=False)


def test_rounding_that_moves_a_probability_far_is_noticed(model, cached):
    first = min(range(COUNT), key=recorded.identifier)  # it is in every sample
    at = Prefix(lambda: model, "SmallConvNet", "head_pool")(coloured(COUNT)[first : first + 1])[0]
    steep = keras.models.clone_model(model)
    steep.set_weights(model.get_weights())
    kernel = 1000 * model.get_layer("head_logits").get_weights()[0]
    steep.get_layer("head_logits").set_weights([kernel, -at @ kernel])  # all classes tie there
    with pytest.raises(
        FeaturesDisagree, match=r"differ by 0\.009 \(relative L2\), probabilities by up to (1|0\.[2-9])"
    ):
        prove(steep, cached(lambda _, rows: rows * np.float32(1.009)), exact=False)


def test_features_and_their_comparison_do_not_use_tensor_float_32_whatever_the_process_does(model, cached, monkeypatch):
    tensor_float_32.emulate(monkeypatch)
    with arithmetic.tensor_float_32(on=True):
        pixels = backbones.normalise(coloured(4).astype(np.float32), "SmallConvNet")
        rounded = keras.Model(model.input, model.output)(pixels, training=False).numpy()
        proof = prove(model, cached(), exact=True)
    with arithmetic.tensor_float_32(on=False):
        exact = keras.Model(model.input, model.output)(pixels, training=False).numpy()
    assert np.abs(rounded - exact).max() > 1e-5  # what the comparison would see
    assert proof["max_difference"] <= 1e-5
    assert proof["arithmetic"] == {"device": "CPU", "tensor_float_32": False, "precision": "float32"}


def test_features_of_a_device_that_rounds_are_told_and_used(model, cached, monkeypatch, capsys):
    """As an earlier version computed them on a GPU, which had TensorFloat-32 on."""

    def changed(ids, rows):
        return rows * np.float32(1 + 1e-3)

    proof = prove(model, cached(changed, device="NVIDIA A100"), exact=True)
    assert proof["limit"] == 1e-5 < proof["max_difference"]
    told = capsys.readouterr().err
    assert "the features were computed on NVIDIA A100, the model here on CPU" in told
    with pytest.raises(FeaturesDisagree):  # this device cannot have rounded so
        prove(model, cached(changed), exact=True)


def test_a_few_examples_are_enough_to_be_compared(model, tmp_path):
    found = examples.load(str(recorded.write(tmp_path / "records", coloured(2))), "train", tmp_path)
    function = Prefix(lambda: model, "SmallConvNet", LAYER)
    layout = Layout(function.shape, "float32")
    with packs.Writer(str(tmp_path / "packs"), layout, computed_on="CPU") as writer:
        assert sum(prefix.fill(function, Images(found, SIZE), np.arange(2), 0, writer, layout)) == 2
    with packs.Reader(str(tmp_path / "packs"), writer.packs, layout, tmp_path) as reader:
        assert prove(model, Features(found, {0: reader}, layout, LAYER), exact=True)["images"] == 2
    found.close()
