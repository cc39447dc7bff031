"""The main job as a person runs it: `frostline run` on the compiled YAML, every step real, both branches, real faults.

Runs share one root, as they do for a person.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from frostline import registry
from frostline.artifacts import read_json, read_jsonl

from tests.support import pictures
from tests.support.running import COLOURS, Run

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "pipelines/configs"
PHOTOS = f"{COLOURS}gate: {{min_accuracy: 0.5}}\nworkers: 2\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("end to end")  # a path with spaces, as people have


@pytest.fixture(scope="module")
def photos(root):
    """Three classes, one file among them that is no image."""
    source = pictures.make(root / "photos", 40)
    (source / "jade" / "broken.jpg").write_bytes(b"no photo")
    config = root / "photos.yaml"
    config.write_text(PHOTOS)
    return source, config


@pytest.fixture(scope="module")
def base(root):
    return Run(root, CONFIGS / "digits-base.yaml")


def test_the_first_model_is_pushed(root, base):
    assert base.code == 0, base.err
    assert base.out.startswith("pushed: digits-base version 1 is the champion")
    version = registry.look_up(str(root / "registry"), "registry:digits-base@champion")
    assert {"saved_model.pb", "model.keras", "freeze_certificate.json", "evaluation.json", "decision.md"} <= set(
        version.manifest["files"]
    )
    steps = base.summary()["steps"]
    assert set(steps) == {
        "plan", "ingest", "prepare", "validate", "train", "evaluate", "gate", "release",
    }  # fmt: skip
    assert all(seconds > 0 for seconds in steps.values())
    assert all(Path(page).is_file() for page in base.summary()["pages"].values())
    committed = (ROOT / "pipelines/compiled/finetune.yaml").read_bytes()
    assert (base.directory / "pipeline.yaml").read_bytes() == committed  # the laptop ran the cluster's file


def test_the_second_starts_from_its_weights_and_is_held(root, base):
    run = Run(root, CONFIGS / "digits-finetune.yaml", "epochs=3", "gate.min_accuracy=1.0")
    assert run.code == 0, run.err
    assert run.out.startswith("held: ")
    assert "release" in run.summary()["steps"]
    assert not list((run.directory / "artifacts").glob("*/release/released/version.json"))
    assert registry.champion(str(root / "registry"), "digits") is None
    assert read_json(run.artifact("release/released/held.json"), "held")["verdict"] == "hold"
    source = read_json(run.artifact("plan/freeze_plan/source.json"), "weights")
    assert source["resolved"] == "digits-base/1"
    champion = registry.look_up(str(root / "registry"), "registry:digits-base/1")
    trained = read_json(base.artifact("train/model/freeze_certificate.json"), "freeze_certificate")["tensors"]
    certificate = read_json(run.artifact("train/model/freeze_certificate.json"), "freeze_certificate")
    assert certificate["verified"]
    assert certificate["frozen_tensors"] > 0
    for name, tensor in certificate["tensors"].items():  # it started with the very bits that the first run ended with
        assert tensor["digests"][0] == trained[name]["digests"][-1]
    assert champion.number == 1
    report = read_json(run.artifact("train/model/training.json"), "training")
    assert report["phases"][0]["layer"] == "block1_pool"  # it was trained on features that prepare made
    assert report["prefix_images"] == 0
    assert "188 images x 1 view x 32.8 kB = 6.16 MB; 2 of 3 passes saved" in run.err


@pytest.fixture(scope="module")
def learned(root, photos):
    source, config = photos
    return Run(root, config, f"source={source}")


def test_photos_with_an_unreadable_file_are_learned_and_the_file_is_named(learned):
    run = learned
    assert run.code == 0, run.err
    assert run.out.startswith("pushed: colours version 1")
    assert "1 images cannot be read and are set aside: jade/broken.jpg" in run.err
    (quarantined,) = read_jsonl(run.artifact("validate/info/quarantine.jsonl"))
    assert quarantined["id"] == "jade/broken.jpg"
    assert "jade/broken.jpg" in run.artifact("validate/data_page").read_text()


def test_a_repeated_run_finds_the_champion_reuses_the_records_and_makes_no_second_version(root, photos, learned):
    source, config = photos
    run = Run(root, config, f"source={source}")
    assert run.code == 0, run.err
    assert "pushed: colours version 1 is already the champion" in run.out
    assert run.err.count("already finished in the store") == 4  # shards, of two workers
    champion = read_json(run.artifact("evaluate/evaluation/evaluation.json"), "evaluation")["champion"]
    assert champion["version"] == 1
    assert champion["comparable"]
    assert [version.number for version in registry.versions(str(root / "registry"), "colours")] == [1]


def test_a_class_without_a_readable_image_fails_the_run_and_nothing_is_pushed(root, photos, tmp_path):
    source, config = photos
    broken = tmp_path / "broken"
    shutil.copytree(source, broken)
    for path in (broken / "amber").iterdir():
        path.write_bytes(b"no photo either " + path.name.encode())
    run = Run(root, config, f"source={broken}", "model_name=broken")
    assert run.code == 1
    assert run.error().startswith("step validate failed: class 'amber': none of its images can be read")
    assert run.summary()["status"] == "failed"
    assert not list(run.directory.glob("artifacts/*/validate/info/info.json"))
    assert not registry.versions(str(root / "registry"), "broken")


def test_a_policy_that_fits_no_block_fails_in_the_first_step_as_wrong_configuration(root):
    run = Run(root, CONFIGS / "digits-base.yaml", "freeze={through: blok1}", "model_name=typo")
    assert run.code == 2
    assert "freeze.through: received 'blok1', which is not a block of this backbone; did you mean block1" in run.error()
    assert "train" not in run.summary()["steps"]


def test_weights_that_do_not_fit_fail_in_the_first_step(root, tmp_path):
    (tmp_path / "other.weights.h5").write_bytes(b"no weights at all")
    run = Run(root, CONFIGS / "digits-base.yaml", f"weights={tmp_path / 'other.weights.h5'}", "model_name=misfit")
    assert run.code == 1
    assert "step plan failed: weights: " in run.error()
    assert "does not fit SmallConvNet" in run.error()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["source=/no/such/place"], "source: received '/no/such/place'; there is no such directory"),
        (["epoch=3"], "epoch: received 3; unknown key"),
        (["epochs=three"], "epochs: received 'three'; input should be a valid integer"),
        (["image_size=64", "backbone=InceptionV3"], "image_size: received 64; InceptionV3 needs at least 75 pixels"),
        (["weights=none.weights.h5"], "there is no such file"),
        (["registry=/proc/registry"], "registry: received '/proc/registry'"),
        (["freeze={none: true, match: conv}"], "choose exactly one policy"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_runs(tmp_path, overrides, message):
    run = Run(tmp_path / "runs", CONFIGS / "digits-base.yaml", *overrides)
    assert run.code == 2
    assert message in run.error()
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/pipeline.yaml"))


def mounts():
    """A command that runs another with a file system of its own at $1, or None where the system forbids it."""
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *user, "--mount", "sh", "-c"]
    works = subprocess.run([*command, "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False).returncode == 0
    return command if works else None


@pytest.mark.parametrize("kilobytes", [150, 700])
def test_a_full_store_fails_the_run_in_one_line_and_nothing_half_written_passes_for_whole(tmp_path, kilobytes):
    """150 kB have no room for the digits; 700 kB have room for digits and weights, but not for the records.

    Where mounting is forbidden, a limit on the size of files replaces the small disk.
    """
    store = tmp_path / "store"
    store.mkdir()
    namespace, listing = mounts(), tmp_path / "listing"
    if namespace:
        script = (
            'mount -t tmpfs -o "size=$1k" tmpfs "$2"; listing=$3; store=$2; shift 3; "$@"; code=$?; '
            'cd "$store"; find . -type f > "$listing"; exit $code'
        )
        prefix, reason = [*namespace, script, "sh", str(kilobytes), str(store), str(listing)], "No space left on device"
    else:
        prefix, reason = ["prlimit", f"--fsize={kilobytes * 400}"], "File too large"
    run = Run(tmp_path / "runs", CONFIGS / "digits-base.yaml", f"store={store}", prefix=prefix)
    assert run.code == 1
    assert reason in run.error()
    names = listing.read_text().split() if namespace else [str(path) for path in store.rglob("*")]
    assert not [name for name in names if "partial" in name or "tmp" in name.split("/")[-1]]
    finished = [name for name in names if Path(name).name.startswith("shard-")]
    assert len(finished) < (1 if kilobytes == 150 else 2)
    assert json.loads((run.directory / "summary.json").read_text())["status"] == "failed"
