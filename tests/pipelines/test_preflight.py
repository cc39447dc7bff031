"""Configurations that are refused before anything runs, and how one is completed for this machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from frostline.config import RunConfig, parse
from frostline.consistency import require_consistent
from frostline.errors import ConfigError
from pipelines import preflight

SMALL = {"backbone": "SmallConvNet", "weights": "random", "image_size": 32}


@pytest.fixture
def photos(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        (tmp_path / "photos" / label / "1.jpg").write_bytes(b"x")
    return tmp_path / "photos"


def config(tmp_path, **values):
    return preflight.for_this_machine(parse(RunConfig, {**SMALL, **values}), tmp_path / "runs")


def refusal(tmp_path, **values):
    with pytest.raises(ConfigError) as caught:
        preflight.check_here(config(tmp_path, **values))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return caught.value.field, str(caught.value)


def test_good_configurations_pass_and_leave_nothing_behind(tmp_path, photos):
    preflight.check_here(config(tmp_path, source=str(photos)))
    preflight.check_here(config(tmp_path, source="digits"))
    preflight.check_here(config(tmp_path, source="tfds://tf_flowers"))
    preflight.check_here(config(tmp_path, source="gs://bucket/photos"))

    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]


def test_store_and_registry_are_below_the_root_unless_configured(tmp_path):
    here = config(tmp_path)
    assert here.store == str(tmp_path / "runs" / "store")
    assert here.registry == str(tmp_path / "runs" / "registry")

    set_in_file = config(tmp_path, store="gs://bucket/store", registry=str(tmp_path / "models"))
    assert (set_in_file.store, set_in_file.registry) == ("gs://bucket/store", str(tmp_path / "models"))


def test_one_worker_uses_this_machine_unless_configured(tmp_path):
    assert config(tmp_path).workers == 1
    assert config(tmp_path, workers=3).workers == 3


def test_local_paths_become_absolute_and_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    here = preflight.for_this_machine(
        parse(RunConfig, {"source": "photos", "weights": "w/mine.weights.h5", "store": "s"}), Path("runs")
    )
    assert here.source == str(tmp_path / "photos")
    assert here.weights == str(tmp_path / "w" / "mine.weights.h5")
    assert here.store == str(tmp_path / "s")
    assert here.registry == str(tmp_path / "runs" / "registry")
    for source in ("digits", "tfds://tf_flowers", "gs://bucket/photos"):
        assert preflight.for_this_machine(parse(RunConfig, {"source": source}), Path("runs")).source == source
    for weights in ("imagenet", "random", "registry:digits@champion", "gs://bucket/w.weights.h5"):
        assert preflight.for_this_machine(parse(RunConfig, {"weights": weights}), Path("runs")).weights == weights


def test_the_placeholder_is_refused_with_the_option_to_give(tmp_path):
    field, message = refusal(tmp_path, source="DIR")
    assert field == "source"
    assert "--set source=" in message


def test_a_missing_source_is_refused(tmp_path):
    assert refusal(tmp_path, source=str(tmp_path / "nowhere")) == (
        "source",
        f"source: received '{tmp_path / 'nowhere'}'; there is no such directory",
    )


def test_a_file_as_source_is_refused(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"")
    assert "not a file" in refusal(tmp_path, source=str(tmp_path / "photos.zip"))[1]


def test_an_unknown_kind_of_address_is_refused(tmp_path):
    for source in ("s3://bucket/photos", "tfds://", "gs://"):
        assert "expected digits, tfds://NAME" in refusal(tmp_path, source=source)[1]


def test_an_empty_source_and_empty_class_folders_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "has no class folder" in refusal(tmp_path, source=str(tmp_path / "empty"))[1]

    for label in ("cat", "dog"):
        (tmp_path / "hollow" / label).mkdir(parents=True)
    assert "found none" in refusal(tmp_path, source=str(tmp_path / "hollow"))[1]


def test_a_single_class_is_refused(tmp_path, photos):
    (photos / "dog" / "1.jpg").unlink()
    (photos / "dog" / ".2.jpg").write_bytes(b"")  # neither a hidden file nor a text makes a class
    (photos / "dog" / "notes.txt").write_bytes(b"")

    field, message = refusal(tmp_path, source=str(photos))
    assert field == "source"
    assert "at least two class folders with images are needed; found only 'cat'" in message
    assert message.endswith("; files left out: 1 .txt (not images), 1 hidden")
    assert refusal(tmp_path, source="digits", data={"classes": ["1"]})[0] == "data.classes"


def test_images_may_lie_deeper_below_their_class(tmp_path, photos):
    (photos / "wolf" / "winter").mkdir(parents=True)
    (photos / "wolf" / "winter" / "1.PNG").write_bytes(b"x")

    preflight.check_here(config(tmp_path, source=str(photos), data={"classes": ["dog", "wolf"]}))


def test_a_class_without_a_folder_is_named(tmp_path, photos):
    field, message = refusal(tmp_path, source=str(photos), data={"classes": ["cat", "wolf"]})
    assert field == "data.classes"
    assert "'wolf'" in message
    assert "cat, dog" in message


def test_an_unknown_backbone_is_answered_with_near_names(tmp_path):
    field, message = refusal(tmp_path, backbone="InceptionV4", image_size=299)
    assert field == "backbone"
    assert "InceptionV3" in message


def test_an_image_below_the_backbones_minimum_is_refused(tmp_path):
    field, message = refusal(tmp_path, backbone="InceptionV3", image_size=64)
    assert field == "image_size"
    assert "received 64; InceptionV3 needs at least 75 pixels" in message


def test_imagenet_weights_for_the_small_backbone_are_refused(tmp_path):
    assert refusal(tmp_path, weights="imagenet")[0] == "weights"


def test_missing_weights_are_refused(tmp_path):
    field, message = refusal(tmp_path, weights=str(tmp_path / "mine.weights.h5"))
    assert field == "weights"
    assert "there is no such file" in message


def test_weights_that_the_registry_does_not_hold_are_refused(tmp_path):
    field, message = refusal(tmp_path, weights="registry:digits-base@champion")
    assert field == "weights"
    assert "registry:digits-base@champion" in message


@pytest.mark.parametrize("field", ["store", "registry"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path, field):
    (tmp_path / "taken").write_text("")  # a file where a directory has to be: refused for root as well

    assert refusal(tmp_path, **{field: str(tmp_path / "taken" / "below")})[0] == field


def test_preflight_imports_neither_tensorflow_nor_kfp(tmp_path, photos):
    code = f"""
import sys
from pathlib import Path
from frostline.config import RunConfig, parse
from pipelines import preflight
values = {{"source": {str(photos)!r}, "backbone": "SmallConvNet", "weights": "random", "image_size": 32}}
preflight.check_here(preflight.for_this_machine(parse(RunConfig, values), Path({str(tmp_path / "runs")!r})))
sys.exit(sorted({{"tensorflow", "keras", "kfp"}} & set(sys.modules)) and 1 or 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_backbone_file_must_exist_and_has_its_own_weights(tmp_path, photos):
    file = tmp_path / "mine.keras"
    assert refusal(tmp_path, backbone=str(file), weights="own", source="digits") == (
        "backbone",
        f"backbone: received {str(file)!r}; there is no such file",
    )
    file.touch()
    preflight.check_here(config(tmp_path, backbone=str(file), weights="own", source="digits"))
    assert refusal(tmp_path, backbone=str(file), weights="random", source="digits")[0] == "weights"
    assert refusal(tmp_path, weights="own", source="digits")[0] == "weights"


def test_a_required_cache_needs_a_first_phase_that_freezes_something(tmp_path):
    later = [{"policy": "head_only", "epochs": 1, "learning_rate": 0.1}]
    for phases in ([], later):  # a later phase cannot use features of weights that the first one has changed
        said = refusal(tmp_path, cache="require", freeze={"none": True, "phases": phases})
        assert said[0] == "cache"
        assert said[1].startswith("cache: received 'require'; freeze: none leaves no frozen prefix to cache; use auto")
    preflight.check_here(config(tmp_path, cache="require", freeze="head_only"))
    preflight.check_here(config(tmp_path, cache="auto", freeze="none"))


def test_patience_needs_validation_images(tmp_path):
    field, message = refusal(tmp_path, training={"patience": 3}, data={"validation_fraction": 0.0})
    assert field == "training.patience"
    assert "set data.validation_fraction above 0" in message
    preflight.check_here(config(tmp_path, training={"patience": 3}))
    preflight.check_here(config(tmp_path, data={"validation_fraction": 0.0}))


def test_given_splits_are_accepted_and_folders_that_can_be_read_both_ways_are_not(tmp_path, photos):
    (tmp_path / "given").mkdir()
    for split in ("train", "test"):
        (tmp_path / "given" / split).symlink_to(photos)
    source = str(tmp_path / "given")
    preflight.check_here(config(tmp_path, source=source, data={"classes": ["cat", "dog"]}))
    (tmp_path / "given" / "extra").symlink_to(photos)
    field, message = refusal(tmp_path, source=source)
    assert field == "source"
    assert message.endswith("set data.layout to classes or to splits")
    preflight.check_here(config(tmp_path, source=source, data={"layout": "splits"}))


@pytest.mark.parametrize(("epochs", "later", "warmup"), [(2, [], 8), (9, [2], 8), (9, [2, 5], 100)])
def test_a_warm_up_longer_than_a_phase_of_all_images_is_refused_before_the_run(tmp_path, photos, epochs, later, warmup):
    phases = [{"policy": "none", "epochs": n, "learning_rate": 0.1} for n in later]
    freeze = {"head_only": True, "phases": phases}
    training = {"schedule": "cosine", "warmup_steps": warmup}
    settings = {"source": str(photos), "freeze": freeze, "epochs": epochs, "batch_size": 1}
    field, message = refusal(tmp_path, **settings, training=training)
    assert field == "training.warmup_steps"
    assert message == (
        f"training.warmup_steps: received {warmup}; a phase of 2 epochs has at most 4 steps (2 images, "
        "batch_size 1); warm-up must be shorter"
    )
    preflight.check_here(config(tmp_path, **settings, training={**training, "warmup_steps": 3}))


def test_the_images_of_the_digits_are_known_without_looking():
    training = {"schedule": "cosine", "warmup_steps": 57}
    settings = {"source": "digits", "epochs": 1, "batch_size": 32}
    with pytest.raises(ConfigError, match=r"at most 57 steps \(1797 images"):
        require_consistent(RunConfig.model_validate({**settings, "training": training}))
    require_consistent(RunConfig.model_validate({**settings, "training": {**training, "warmup_steps": 56}}))


@pytest.mark.parametrize("field", ["source", "store", "registry", "weights", "backbone"])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("~nobody-of-this-name/x.keras", "Could not determine home directory"),
        ("n" * 300 + ".keras", "File name too long"),
        ("n/" * 5000 + "x.keras", "File name too long"),
        ("loop/x.keras", "Too many levels of symbolic links"),
    ],
)
def test_a_path_that_no_machine_can_look_up_is_refused(tmp_path, monkeypatch, field, path, reason):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    named, message = refusal(tmp_path, **{field: path})
    assert named == field
    assert reason in message


def test_keys_are_checked_before_anything_runs(tmp_path, signer, monkeypatch):
    monkeypatch.chdir(Path(signer.private).parent)
    here = config(tmp_path, source="digits", signing={"key": "key.pem", "public_key": "key.pub"})
    assert here.signing.model_dump() == {"key": signer.private, "public_key": signer.public}  # where steps find them
    preflight.check_here(here)
    assert config(tmp_path, source="digits").signing.model_dump() == {"key": "", "public_key": ""}
    field, message = refusal(tmp_path, source="digits", signing={"key": "key.pub"})
    assert (field, "that is a public key" in message) == ("signing.key", True)
    field, message = refusal(tmp_path, source="digits", signing={"public_key": "nothing.pub"})
    assert (field, "there is no such file" in message) == ("signing.public_key", True)
