"""Parameters that do not fit together are refused before anything runs."""

import pytest

from frostline.config import RunConfig
from frostline.consistency import is_known_source, require_consistent
from frostline.errors import ConfigError
from frostline.section import parse

SMALL = {"backbone": "SmallConvNet", "weights": "random", "image_size": 32}


def config(**values):
    return parse(RunConfig, {**SMALL, **values})


@pytest.mark.parametrize(("values", "message"), [
    ({"source": "DIR"}, "source: received 'DIR'; name a directory of class folders: --set source=path/to/photos"),
    ({"source": "s3://bucket/photos"}, "source: received 's3://bucket/photos'; expected digits, tfds://NAME"),
    ({"data": {"classes": ["1"]}}, "data.classes: received ['1']; at least two classes are needed"),
    ({"backbone": "InceptionV4"}, "backbone: received 'InceptionV4'; did you mean Inception"),
    ({"backbone": "InceptionV3", "image_size": 64}, "image_size: received 64; InceptionV3 needs at least 75 pixels"),
    ({"backbone": "mine.keras", "weights": "imagenet"}, "a .keras backbone has its own weights; use own"),
    ({"weights": "own"}, "weights: received 'own'; this needs a backbone that is a .keras file"),
    ({"weights": "imagenet"}, "weights: received 'imagenet'; SmallConvNet has none; use random"),
    ({"cache": {"mode": "require"}, "freeze": {"none": True}}, "cache: received 'require'; freeze: none leaves no"),
    ({"training": {"patience": 2}, "data": {"validation_fraction": 0.0}}, "early stopping needs validation images"),
    ({"data": {"classes": [f"class-{number}" for number in range(8000)]}}, "data: received '111,002 characters of"),
    ({"tolerations": [{"key": "x" * 100_000}]}, "all parameters together may have 100,000"),
    ({"training": {"warmup_steps": 10_000, "schedule": "cosine"}}, "training.warmup_steps"),
])  # fmt: skip
def test_what_does_not_fit_together_is_refused_in_one_line(values, message):
    with pytest.raises(ConfigError) as caught:
        require_consistent(config(**values))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [{}, {"source": "gs://bucket/photos"}, {"source": "photos"}, {"freeze": "none"}])
def test_what_fits_together_passes(values):
    require_consistent(config(**values))


def test_sources_that_are_no_paths():
    assert all(map(is_known_source, ("digits", "tfds://tf_flowers", "gs://bucket", "gs://bucket/a/b", "DIR")))
    assert not any(map(is_known_source, ("photos", "/data/photos", "s3://bucket", "tfds://", "gs://")))
