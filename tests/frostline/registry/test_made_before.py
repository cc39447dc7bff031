"""A store and a registry of an earlier version: everything in them is found, verified and used as before.

tests/data/before/README.md says how they were made. The paths are relative, as they were then.
"""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from frostline import artifacts, gate, registry, storage
from frostline.evaluation import golden
from frostline.model import weights
from frostline.registry import publication
from frostline.verification.verify import verify
from pipelines import gate_command

from tests.support.stages import Bench

BEFORE = Path(__file__).parents[2] / "data" / "before"
EXPECTED = json.loads((BEFORE / "expected.json").read_text())
CACHE = {"mode": "require", "precision": "float32"}
NUMBERS = (1, 2)


class Relative(Bench):
    """The stages, in the current directory."""

    def __init__(self):
        super().__init__(Path())
        self.store, self.registry = "store", "registry"

    def path(self, name):
        return name


@pytest.fixture(autouse=True)
def before(tmp_path, monkeypatch):
    """A copy of what the earlier version left, as the current directory."""
    with tarfile.open(BEFORE / "store-and-registry.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)


def content(place):
    return {item.uri: storage.read_bytes(item.uri) for item in storage.list_files(place)}


def version(number):
    return registry.look_up("registry", f"registry:tiny/{number}")


def directory(number):
    return Path("registry/tiny/versions", str(number))


def test_every_version_is_found_with_its_digest_its_state_and_its_history():
    found = registry.versions("registry", "tiny")
    assert {str(one.number): one.manifest_digest for one in found} == EXPECTED["manifest_digests"]
    assert [version(number) for number in NUMBERS] == found
    assert registry.look_up("registry", "registry:tiny@champion") == found[0]
    assert registry.states("registry", "tiny") == {int(n): state for n, state in EXPECTED["states"].items()}
    [entry] = registry.history("registry", "tiny")
    [expected] = EXPECTED["history"]
    assert {name: getattr(entry, name) for name in expected} == expected
    waiting = registry.standing("registry", "tiny", 2)
    assert waiting.compared_with.promotion == registry.champion("registry", "tiny").promotion
    assert waiting.test_split == expected["test_split"]
    assert registry.promotions_decided_on("registry", "tiny", expected["test_split"]) == 1


@pytest.mark.parametrize("number", NUMBERS)
def test_a_version_passes_verify_and_serves_what_it_was_published_with(number, tmp_path):
    found = verify(directory(number))
    new = ("graph", "operations", "signature")
    passed = [row["name"] for row in found["checks"] if row["passed"] and row["name"] not in new]
    assert passed == EXPECTED["verify"][str(number)]["checks"]
    assert {**found, "checks": None} == {**EXPECTED["verify"][str(number)], "checks": None}
    golden.require_reproduced(registry.download(version(number), tmp_path / "into"))


@pytest.mark.parametrize("number", NUMBERS)
def test_the_gate_decides_on_a_version_as_it_did(number):
    shutil.copy(directory(number) / "validation.json", directory(number) / "report.json")
    expected = EXPECTED["decisions"][str(number)]
    places = dict.fromkeys(("evaluation", "record", "info"), str(directory(number)))
    section = {**expected["section"], "drift_margin": 0}  # there was no reference then
    assert gate.run(**places, gate=section, decision="again", page="page.md", report="report.html")
    decided = artifacts.read_json(Path("again/decision.json"), "decision")
    rows = [
        [row["name"], row["verdict"], row["value"], row["limit"]] for row in decided["checks"] if row["name"] != "drift"
    ]
    rows[0][0] = {"consistency": "evidence"}[rows[0][0]]  # its name then
    del decided["slices"], decided["becomes_reference"], decided["config"]["drift_margin"]
    assert {**decided, "checks": rows, "reason": None, "notes": None} == {
        **expected["decision"],
        "reason": None,
        "notes": None,
    }


@pytest.mark.parametrize("number", NUMBERS)
def test_a_release_process_gets_the_same_answer_for_a_version(number):
    decided = gate_command.run(str(directory(number)), None)
    assert decided["verdict"] == "promote"
    assert {row["name"]: row["reason"] for row in decided["checks"]}["drift"] == "no limit set"


def test_the_first_champion_is_the_reference_of_a_registry_that_recorded_no_evaluation():
    [reference] = registry.references("registry", "tiny")
    assert (reference.version, reference.pinned, reference.attempt) == (1, False, None)
    [row] = registry.chain("registry", "tiny")
    assert (row["kind"], row["version"], row["images"]) == ("promoted", 1, None)
    assert row["accuracy"]["low"] <= row["accuracy"]["value"] <= row["accuracy"]["high"]


def test_the_champion_gives_the_same_weights():
    _, source, images = weights.resolve("registry:tiny@champion", "backbone.keras", 16, 0, "registry")
    assert {**source, "graph": None} == {**EXPECTED["champion_weights"]["source"], "graph": None}
    assert len(images) == EXPECTED["champion_weights"]["images"]


def test_the_candidate_is_approved_rolled_back_and_pruned():
    who = {"approver": "Ada", "reason": "looked at it"}
    assert registry.approve("registry", "tiny", 2, **who).version == 2
    assert registry.rollback("registry", "tiny", **who).version == 1
    assert [entry.kind for entry in registry.history("registry", "tiny")] == ["promotion", "approval", "rollback"]
    assert registry.states("registry", "tiny") == {1: "champion", 2: "earlier champion"}
    assert [one.number for one in registry.prune("registry", "tiny", keep=1)] == []


def test_the_same_content_published_again_is_the_version_that_is_there(tmp_path):
    """Also where the version was not finished: the claim's digest of the content is the same."""
    one = version(1)
    copy = shutil.copytree(directory(1), tmp_path / "copy")
    (copy / registry.MANIFEST).unlink()
    described = {"identity": one.manifest["identity"], "metadata": one.manifest["metadata"]}
    stored = content("registry")
    assert registry.publish("registry", "tiny", copy, **described) == one
    (directory(1) / registry.MANIFEST).unlink()
    assert registry.publish("registry", "tiny", copy, **described) == one
    after = content("registry")
    claimed = "registry/tiny/claims/1.json"  # dated anew, where it is old
    assert {**stored, claimed: None} == {**after, claimed: None}
    assert publication.read_claim("registry", "tiny", 1).content == one.manifest["content"]


def test_weights_are_found_in_the_store_and_records_and_features_of_an_earlier_format_are_left_alone(capsys):
    """Some pixels have changed since (orientation, palettes, alpha of WebP); addresses did not name Keras' version."""
    # Marking a set of features as used writes used.json anew.
    stored = {uri: data for uri, data in content("store").items() if not uri.endswith("used.json")}
    bench = Relative()
    examples = bench.preprocess(bench.ingest(Path("photos")), 16)
    assert "already finished in the store" not in capsys.readouterr().err
    records = {artifacts.read_json(Path(one) / "share.json", "share")["records"] for one in examples}
    assert records.isdisjoint(EXPECTED["records"])
    bench.validate(examples, 16)
    bench.plan({"through": "block1"}, backbone="backbone.keras", weights="own", size=16)
    source = artifacts.read_json(Path("weights/source.json"), "weights")
    assert set(source["prefixes"]) == {"block1_relu"}
    new = {name: source[name] for name in ("graph", "prefixes")}  # sources did not have them then
    assert {**EXPECTED["weights"], **new} == source
    found = bench.featurize(epochs=1, cache=CACHE)
    assert [(one["computed"], one["reused"]) for one in found] == [(one["computed"], 0) for one in EXPECTED["features"]]
    old, new = ({part["address"] for one in parts for part in one["sets"]} for parts in (EXPECTED["features"], found))
    assert old.isdisjoint(new)
    kept = content("store")
    assert {uri: kept[uri] for uri in stored} == stored
    assert all(one["reused"] and not one["computed"] for one in bench.featurize(epochs=1, cache=CACHE))
