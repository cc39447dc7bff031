"""Every shipped configuration is valid, complete, and refused or accepted as its comment says."""

from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from frostline.config import load
from frostline.consistency import require_consistent
from frostline.errors import ConfigError

CONFIGS = Path(str(files("pipelines") / "configs"))
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def read(name, *overrides):
    return load(CONFIGS / f"{name}.yaml", overrides)


def test_these_are_the_shipped_configurations():
    assert NAMES == ["digits-base", "digits-finetune", "flowers", "folder"]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_valid_and_starts_by_saying_what_it_does(name):
    assert (CONFIGS / f"{name}.yaml").read_text().startswith("# ")
    overrides = ["source=tfds://tf_flowers"] if name == "folder" else []
    require_consistent(read(name, *overrides))


@pytest.mark.parametrize("name", NAMES)
def test_none_sets_where_things_are_kept(name):
    """So that a laptop's run stays below --root, and a cluster's on its volume."""
    assert not {"store", "registry", "image"} & set(yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()))


def test_the_model_names_differ():
    assert len({read(name).model_name for name in NAMES}) == len(NAMES)


def test_the_second_digits_run_starts_from_the_first_ones_champion_on_other_classes():
    base, finetune = read("digits-base"), read("digits-finetune")

    assert finetune.weights == f"registry:{base.model_name}@champion"
    assert (finetune.backbone, finetune.image_size) == (base.backbone, base.image_size)
    assert not set(base.data.classes) & set(finetune.data.classes)
    assert base.freeze.none
    assert finetune.freeze.through == "block1"
    assert finetune.data.train_examples_per_class == 20


def test_the_folder_needs_a_source():
    with pytest.raises(ConfigError, match="--set source="):
        require_consistent(read("folder"))


def test_photos_use_inception_at_its_own_size_with_imagenet_weights():
    for name in ("folder", "flowers"):
        config = read(name)
        assert (config.backbone, config.weights, config.image_size) == ("InceptionV3", "imagenet", 299)
        assert config.freeze.head_only
