"""The name of a finished training: a digest of all that its model depends on, and of nothing else."""

from types import SimpleNamespace

from frostline.training import finished
from frostline.training.config import SessionSettings
from frostline.training.session import Inputs


def settings_of(bench, **values):
    sections = {"head": {}, "training": {}, "augment": {}, "cache": {}}
    numbers = {"epochs": 2, "batch_size": 16, "learning_rate": 0.003, "seed": 0, "store": bench.store}
    return SessionSettings(**{**sections, **numbers, **values})


def test_the_key_names_everything_that_a_model_depends_on_and_nothing_else(bench, monkeypatch):
    inputs, settings = bench.inputs(), settings_of(bench)
    key = finished.key_of(settings, inputs, {"a" * 64}, "image:1")
    assert key == finished.key_of(settings, bench.inputs(), {"a" * 64}, "image:1")
    counted = [{**part, "computed": 99, "reused": 0, "verdicts": {}} for part in inputs.features]
    same = Inputs(inputs.info, inputs.plan, inputs.source, counted)
    assert finished.key_of(settings, same, {"a" * 64}, "image:1") == key
    unimportant = settings_of(bench, training={"checkpoint_seconds": 5}, cache={"limit_gb": 2})
    assert finished.key_of(unimportant, inputs, {"a" * 64}, "image:1") == key
    changed = [
        (settings_of(bench, training={"optimizer": "sgd"}), inputs, {"a" * 64}, "image:1"),
        (settings_of(bench, augment={"flip": True}), inputs, {"a" * 64}, "image:1"),
        (settings, Inputs({**inputs.info, "dataset_digest": "0"}, *parts(inputs)[1:]), {"a" * 64}, "image:1"),
        (settings, Inputs(inputs.info, {**inputs.plan, "backbone": "x"}, *parts(inputs)[2:]), {"a" * 64}, "image:1"),
        (
            settings,
            Inputs(*parts(inputs)[:2], {**inputs.source, "digest": "0"}, inputs.features),
            {"a" * 64},
            "image:1",
        ),
        (settings, Inputs(*parts(inputs)[:3], inputs.features[:1]), {"a" * 64}, "image:1"),
        (settings, inputs, {"b" * 64}, "image:1"),
        (settings, inputs, {"a" * 64}, "image:2"),
    ]
    keys = [finished.key_of(*one) for one in changed]
    for module, name, value in (
        (finished.platform, "python_version", lambda: "4.0"),
        (finished.np, "__version__", "0"),  # whose generator orders the images
        (finished.tf, "__version__", "0"),
        (finished.keras, "__version__", "0"),
        (finished.arithmetic, "device_kind", lambda: "another GPU"),
        (finished.strategy, "mirrored", lambda: SimpleNamespace(num_replicas_in_sync=8)),
        (finished, "_code_digest", lambda: "0"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            keys.append(finished.key_of(settings, inputs, {"a" * 64}, "image:1"))
    assert len({key, *keys}) == 1 + len(keys) == 16


def parts(inputs):
    return inputs.info, inputs.plan, inputs.source, inputs.features


def test_a_changed_line_of_the_library_is_other_code(tmp_path, monkeypatch):
    (tmp_path / "inside").mkdir()
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "inside" / "one.py").write_text("x = 1\n")
    monkeypatch.setattr(finished.frostline, "__file__", str(tmp_path / "__init__.py"))
    before = finished._code_digest()
    assert finished._code_digest() == before
    (tmp_path / "inside" / "one.py").write_text("x = 2\n")
    assert finished._code_digest() != before
