"""Publishing: one number for one content, whoever dies, repeats it or is faster; nothing is ever overwritten."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from frostline import artifacts, digests, registry, storage
from frostline.errors import RegistryError, StorageError
from frostline.registry import publication

from tests.support.registries import FILES, Models, before_manifest
from tests.support.relay import Relay, flipped


def leave_as_a_dead_publisher(root, number, model="digits"):
    claim = {"schema": "frostline/claim/v1", "model": model, "version": number, "identity": "dead"}
    storage.write_bytes(storage.join(root, model, f"claims/{number}.json"), json.dumps(claim).encode())
    storage.write_bytes(storage.join(root, model, f"versions/{number}/variables/variables.index"), b"half of")


def test_a_published_version_is_whole_and_described(root, make):
    version = make()
    assert (version.model, version.number, version.uri) == ("digits", 1, storage.join(root, "digits/versions/1"))
    assert registry.versions(root, "digits") == [version]
    assert registry.look_up(root, "registry:digits/1") == version
    stored = {
        item.uri.removeprefix(f"{version.uri}/"): storage.read_bytes(item.uri)
        for item in storage.list_files(version.uri)
    }
    manifest = stored.pop("manifest.json")
    assert stored.pop("decision.json")
    assert stored == {**FILES, "weights": b"one"}
    assert json.loads(manifest) == version.manifest
    assert digests.of_bytes(manifest) == version.manifest_digest
    expected = {name: {"sha256": digests.of_bytes(data), "size": len(data)} for name, data in stored.items()}
    assert expected.items() <= version.manifest["files"].items()
    expected = {"schema": "frostline/version/v1", "model": "digits", "version": 1, "metadata": {"n": 1}}
    assert expected.items() <= version.manifest.items()


def test_the_servable_file_is_stored_after_all_others_and_before_the_manifest(root, make, monkeypatch):
    order = []
    for name, place in (("upload_file", 1), ("write_bytes", 0)):
        original = getattr(storage, name)

        def noted(*arguments, original=original, place=place, **named):
            result = original(*arguments, **named)
            order.append(arguments[place].rpartition("/")[2])
            return result

        monkeypatch.setattr(storage, name, noted)
    make()
    assert (order[0], order[-2:]) == ("1.json", ["saved_model.pb", "manifest.json"])
    assert len(order) == len(FILES) + 4


def test_the_same_identity_is_one_version(root, make):
    assert make(b"one") == make(b"one")
    assert make(b"two").number == 2
    assert make(b"one").number == 1
    assert [version.number for version in registry.versions(root, "digits")] == [1, 2]


def test_models_count_for_themselves(root, make):
    assert (make(model="digits").number, make(model="digits-base").number) == (1, 1)
    assert registry.versions(root, "another") == []


def test_what_a_dead_publisher_left_is_no_version_and_its_number_is_not_used_again(root, make):
    make(b"one")
    leave_as_a_dead_publisher(root, 2)
    assert [version.number for version in registry.versions(root, "digits")] == [1]
    with pytest.raises(RegistryError) as caught:
        registry.look_up(root, "registry:digits/2")
    assert str(caught.value) == f"registry:digits/2: {root} has no such version; it has [1]"
    assert make(b"two").number == 3
    assert [version.number for version in registry.versions(root, "digits")] == [1, 3]


def interrupt(monkeypatch, name):
    """Let storing the file of this name fail, until the context ends."""
    original = storage.upload_file

    def upload(path, uri, **named):
        if uri.endswith(name):
            raise StorageError(f"{uri}: the disk is full")
        return original(path, uri, **named)

    monkeypatch.setattr(storage, "upload_file", upload)


def test_a_repeated_attempt_goes_on_with_its_number_and_keeps_what_is_stored(root, make, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, "saved_model.pb")
        with pytest.raises(StorageError, match="the disk is full"):
            make(b"one")
    assert make.numbers() == []
    before = {item.uri: item for item in storage.list_files(storage.join(root, "digits/versions/1"))}
    assert len(before) == len(FILES) + 1
    assert make(b"one").number == 1
    after = {item.uri: item for item in storage.list_files(storage.join(root, "digits/versions/1"))}
    assert before.items() <= after.items()


@pytest.mark.parametrize("change", [{"content": b"two"}, {"accuracy": 0.5}, {"verdict": "hold", "content": b"three"}])
def test_another_content_does_not_go_on_with_an_unfinished_number(root, make, monkeypatch, change):
    with monkeypatch.context() as patch:
        interrupt(patch, "saved_model.pb")
        with pytest.raises(StorageError):
            make(b"one")
    assert make(**{"content": b"one", **change}).number == 2
    assert make.numbers() == [2]


def test_a_foreign_file_in_the_way_costs_a_number_and_is_not_overwritten(root, make, tmp_path):
    uri = storage.join(root, "digits/versions/1/weights")
    storage.write_bytes(uri, b"in the way")
    version = make(b"one")
    assert version.number == 2
    assert storage.read_bytes(uri) == b"in the way"
    assert make.numbers() == [2]
    assert registry.download(version, tmp_path / "into").joinpath("weights").read_bytes() == b"one"


def test_a_file_that_was_stored_otherwise_than_it_is_is_noticed_and_no_version(root, make, monkeypatch):
    original = storage.upload_file

    def damage(path, uri, **named):
        if uri.endswith("weights"):
            return storage.write_bytes(uri, b"0ne", **named)
        return original(path, uri, **named)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "upload_file", damage)
        with pytest.raises(RegistryError, match="weights: what was stored differs from"):
            make(b"one")
    assert make.numbers() == []
    assert make(b"one").number == 2


def test_the_same_content_many_times_at_once_is_one_version_with_one_manifest(root, make):
    make.files(b"one")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: make(b"one"), range(8)))
    assert made == [made[0]] * 8
    assert make.numbers() == [1]
    assert list(make.stored("claims")) == ["1.json"]


def test_a_publisher_whose_number_was_given_up_meanwhile_takes_another(root, make, monkeypatch):
    def give_up_first(number):
        if number == 1:
            assert publication.give_up(root, "digits", number)

    before_manifest(monkeypatch, give_up_first)
    assert make(b"one").number == 2
    assert make.numbers() == [2]
    assert make(b"one").number == 2
    assert not publication.give_up(root, "digits", 2)
    assert make.numbers() == [2]


def test_a_rejected_version_is_no_answer_to_a_push_of_the_same_model(root, make):
    registry.reject(root, make(b"one"), reason="it does not load")
    assert make(b"one").number == 2
    assert make(b"one").number == 2


def test_a_claim_that_does_not_say_what_it_is_for_is_nobodys_to_go_on_with(root, make):
    claim = {"model": "digits", "version": 1, "identity": digests.of_bytes(b"one")}
    storage.write_bytes(storage.join(root, "digits/claims/1.json"), artifacts.encode("claim", claim))
    assert make(b"one").number == 2


def test_two_processes_that_publish_at_once_get_two_numbers(root, tmp_path):
    code = """
import sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from frostline import registry, storage
root, directory, gate = sys.argv[1:]
storage.stat(storage.join(root, "warm"))
Path(gate, Path(directory).name).touch()
while len(list(Path(gate).iterdir())) < 2:
    time.sleep(0.001)
print(registry.publish(root, "digits", Path(directory), identity=directory, metadata={}).number)
"""
    gate = tmp_path / "gate"
    gate.mkdir()
    running = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for file in range(5):
            (tmp_path / name / str(file)).write_text(name)
        command = [sys.executable, "-c", code, root, str(tmp_path / name), str(gate)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    numbers = [int(process.communicate(timeout=60)[0]) for process in running]
    assert sorted(numbers) == [1, 2]
    for version in registry.versions(root, "digits"):
        assert registry.download(version, tmp_path / "back" / str(version.number)).is_dir()


def test_nothing_to_publish_is_refused_before_a_number_is_taken(root, tmp_path):
    for files in ([], ["weights", "manifest.json"]):
        directory = tmp_path / f"with-{len(files)}"
        directory.mkdir()
        for name in files:
            (directory / name).touch()
        with pytest.raises(RegistryError, match=r"no manifest\.json"):
            registry.publish(root, "digits", directory, identity="x", metadata={})
    assert storage.list_files(root) == []


def test_a_registry_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").touch()
    with pytest.raises(StorageError, match="cannot be written") as caught:
        registry.publish(str(tmp_path / "file" / "root"), "digits", tmp_path / "model", identity="x", metadata={})
    assert str(tmp_path / "file" / "root") in str(caught.value)


def test_the_number_after_the_last_one_is_refused_and_everything_stays_readable(root, make):
    last = publication.LAST_NUMBER
    leave_as_a_dead_publisher(root, last - 1)
    version = make(b"one")
    assert version.number == last
    alias = registry.promote(root, version, expected=None, reason="first")
    with pytest.raises(
        RegistryError, match=rf"claims/{last}\.json: has the last number; if nobody published"
    ) as caught:
        make(b"two")
    assert "\n" not in str(caught.value)
    assert make(b"one") == version
    assert registry.champion(root, "digits") == alias
    assert registry.look_up(root, f"registry:digits/{last}") == registry.look_up(root, "registry:digits") == version
    assert [one.version for one in registry.history(root, "digits")] == [last]
    assert registry.states(root, "digits") == {last: "champion"}


def test_a_version_whose_claim_someone_removed_is_not_taken_for_another_model(root, make):
    first = make(b"one")
    storage.delete(storage.join(root, "digits/claims/1.json"))
    second = make(b"two")
    assert second.manifest["identity"] == digests.of_bytes(b"two")
    assert registry.look_up(root, "registry:digits/1") == first


@pytest.mark.parametrize("name", ["1000000000", "9" * 400, "0", "01", "-1", "1e3", "+2", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_claim_that_is_no_number_of_a_version_takes_none(root, make, name):
    storage.write_bytes(storage.join(root, f"digits/claims/{name[:200]}.json"), b"{}")
    assert make().number == 1
    assert registry.champion(root, "digits") is None


def test_a_bit_that_changes_while_a_stored_file_is_read_back_costs_nothing_but_another_attempt(gcs, tmp_path):
    models = Models(gcs, tmp_path)
    faults = [flipped]
    with Relay(lambda _, path, __: faults.pop() if faults and "weights" in path and "alt=media" in path else None):
        with pytest.raises(
            RegistryError, match=r"what was stored differs from .*; the version is not finished, publish"
        ):
            models()
        assert registry.versions(gcs, "digits") == []
        assert models().number == 1
    assert faults == []
