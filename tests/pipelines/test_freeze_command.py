"""`frostline freeze`: recipes on the real InceptionV3, what is refused, and what reaches the terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import cli

from tests.support.stages import Bench

NO_LEVEL = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}


def freeze(capsys, backbone, policy, *options):
    """Exit code, standard output and standard error of the command, in this process."""
    text = policy if isinstance(policy, str) else json.dumps(policy)
    with pytest.raises(SystemExit) as caught:
        cli.main(["freeze", backbone, "--policy", text, *options])
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def error_line(result):
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("frostline: error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("policy", "frozen", "boundary"),
    [
        # Trap: the layer called mixed7 owns no weight; its block is the 32 layers before and with it.
        ({"through": "mixed7", "batch_norm": "follow"}, 8_975_264, "mixed7"),
        # Trap: layers[:100] ends in the middle of a block's list; nothing moves up to mixed3, which owns no weight.
        ({"first_layers": 100, "batch_norm": "follow"}, 2_146_976, "mixed3"),
    ],
)
def test_the_recipes_on_inception_v3(capsys, policy, frozen, boundary):
    code, out, _ = freeze(capsys, "InceptionV3", policy, "--json")

    plan = json.loads(out)
    assert code == 0
    assert plan["totals"]["frozen_parameters"] == frozen
    assert plan["boundary"]["layer"] == boundary
    assert plan["boundary"]["parameters_below"] == frozen
    assert plan["boundary"]["shape"] == [17, 17, 768]
    assert plan["boundary"]["feature_bytes"] == 887_808
    assert (plan["image_size"], plan["policy"]) == (299, policy)
    if boundary == "mixed3":
        assert {layer["name"]: layer["parameters"] for layer in plan["layers"]}["mixed3"] == 0


def test_a_match_of_layers_without_weights_is_refused_with_the_advice(capsys):
    # Trap: `if "mixed" in layer.name: layer.trainable = False` freezes nothing, and says nothing.
    said = error_line(freeze(capsys, "InceptionV3", {"match": "mixed"}))

    assert "freeze.match: received 'mixed', which freezes nothing" in said
    assert "its 13 layers are Concatenate, which have no weights" in said
    assert 'use blocks: ["mixed*"]' in said


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"blocks": []}, "freeze.blocks: received []"),
        ({"first_layers": 0}, "freeze.first_layers: received 0; input should be greater than or equal to 1"),
        ({"first_layers": 14}, "freeze.first_layers: received 14; the backbone has 13 layers"),
        ({"first_layers": 1}, "its 1 layer is InputLayer, which has no weights"),
        ({"through": "block9"}, "freeze.through: received 'block9', which is not a block of this backbone; did"),
        ({"blocks": ["block1", "mixed*"]}, "freeze.blocks: received 'mixed*', which is not a block of this backbone"),
        ({"match": "conv("}, "freeze: received {'match': 'conv('}; match: 'conv(' is not a regular expression"),
        ({"through": "block1", "first_layers": 2}, "choose exactly one policy of head_only,"),
        ({"batch_norm": "follow"}, "found no policy"),
        ({"trough": "block1"}, "freeze.trough: received 'block1'; unknown key; known keys are head_only,"),
        ("head_onyl", "freeze: received 'head_onyl'; did you mean head_only?"),
        ("[head_only]", "freeze: received ['head_only']"),
        ("", "freeze: received None"),
        ("{through: block1", "--policy: received '{through: block1'; expected JSON or YAML"),
        ("{through: a, through: b}", "--policy: received '{through: a, through: b}'; this key is set twice"),
        ('{"first_layers": 3, "first_layers": 4}', "this key is set twice"),
        ("&a [*a]", "--policy: received '&a [*a]'; write the value out; anchors and aliases are not read"),
        ("!!python/name:os.system x", "tags are not read"),
        ("{2024-01-31: x}", "expected text as a key"),
        ("{through: 2024-01-31}", "freeze.through: received datetime.date(2024, 1, 31); expected text"),
        ("{first_layers: " + "9" * 5000 + "}", "expected a number of at most 100 characters"),
        ("{first_layers: " + "9" * 50 + "}", "input should be less than or equal to 2147483647"),
        ("{fraction: 1e999}", "freeze.fraction: received inf; input should be a finite number"),
        ("[" * 100_000, "expected JSON or YAML"),
        ("[" * 60 + "]" * 60, "expected at most 50 lists and mappings inside each other"),
        ("head_only\n---\nnone", "expected one document"),
        ("\x00", "expected no control characters"),
        ("\udcff", "expected no control characters"),
        ("x" * 100_000, "expected head_only, none, or a mapping"),
        ("{match: '" + "(" * 50_000 + "'}", "is not a regular expression"),
    ],
)
def test_what_cannot_be_a_policy_is_one_line_and_exit_code_2(capsys, policy, said):
    assert said in error_line(freeze(capsys, "SmallConvNet", policy))


@pytest.mark.parametrize(
    ("backbone", "options", "said"),
    [
        ("InceptionV4", [], "backbone: received 'InceptionV4'; did you mean InceptionV3"),
        ("SmallConvNet", ["--image-size", "8"], "image_size: received 8; SmallConvNet needs at least 16 pixels"),
        ("SmallConvNet", ["--image-size", "1" + "0" * 20], "input should be less than or equal to 2048"),
        ("SmallConvNet", ["--image-size", "-32"], "image_size: received -32; SmallConvNet needs at least 16 pixels"),
        ("SmallConvNet", ["--weights", "nowhere.keras"], "weights: received 'nowhere.keras', which does not exist"),
        ("SmallConvNet", ["--weights", "imagenet"], "SmallConvNet has none"),
        ("SmallConvNet", ["--weights", "registry:digits", "--registry", "nowhere"], "digits"),
    ],
)
def test_a_wrong_backbone_size_or_weights_are_one_line_and_exit_code_2(capsys, backbone, options, said):
    assert said in error_line(freeze(capsys, backbone, "head_only", *options))


def test_weights_that_do_not_fit_show(capsys, tmp_path):
    import keras

    path = tmp_path / "other.keras"
    keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)]).save(path)

    assert "does not fit" in error_line(freeze(capsys, "SmallConvNet", "head_only", "--weights", str(path)))


def test_json_is_the_plan_stages_file_byte_for_byte(capsys, tmp_path):
    section = {"through": "block2", "phases": [{"policy": "none", "epochs": 2, "learning_rate": 1e-4}]}
    bench = Bench(tmp_path)
    bench.plan(section)
    capsys.readouterr()

    code, out, _ = freeze(capsys, "SmallConvNet", section, "--json", "--weights", "random")

    assert code == 0
    assert out == (Path(bench.path("plan")) / "freeze_plan.json").read_text()


def test_the_table_the_page_and_another_image_size(capsys, tmp_path):
    page = tmp_path / "plan.html"
    code, out, err = freeze(capsys, "SmallConvNet", "through: block2", "--image-size", "64", "--html", str(page))

    assert (code, err) == (0, "")
    assert out.startswith("SmallConvNet at 64 px, through: block2, batch_norm: freeze\n")
    assert "boundary block2_pool" in out
    assert "boundary block2_pool" in page.read_text()
    assert "its features are 16 x 16 x 64 per image, 65.5 kB in float32" in " ".join(out.split())
    assert "its features are 16 × 16 × 64 per image, 65.5 kB in float32" in page.read_text()


def test_nothing_but_the_plan_reaches_the_terminal():
    code = "from pipelines import cli; cli.main(['freeze', 'SmallConvNet', '--policy', 'head_only', '--json'])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=NO_LEVEL)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["boundary"]["layer"] == "head_pool"


def test_a_wrong_policy_is_refused_before_tensorflow_is_imported():
    code = (
        "import sys\nfrom pipelines import cli\n"
        "try:\n    cli.main(['freeze', 'SmallConvNet', '--policy', '{first_layers: 0}'])\n"
        "except SystemExit as left:\n    assert left.code == 2\n"
        "print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "False False\n"
