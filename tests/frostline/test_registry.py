import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from frostline import digests, registry, storage
from frostline.errors import ChampionChanged, RegistryError, StorageError

FILES = {"saved_model.pb": b"graph", "variables/variables.index": b"", "model.keras": bytes(range(256)) * 40}


@pytest.fixture(params=["local", "gcs"])
def root(request, tmp_path):
    place = str(tmp_path / "registry") if request.param == "local" else request.getfixturevalue("gcs")
    return storage.join(place, "models")


@pytest.fixture
def make(root, tmp_path):
    """Publishes a model with these bytes in it; the identity is their digest."""

    def publish(content=b"one", model="digits"):
        directory = tmp_path / "made" / digests.of_bytes(content)
        for name, data in {**FILES, "weights": content}.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return registry.publish(root, model, directory, identity=digests.of_bytes(content), metadata={"n": 1})

    return publish


def leave_as_a_dead_publisher(root, number, model="digits"):
    claim = {"schema": "frostline/claim/v1", "model": model, "version": number, "identity": "dead"}
    storage.write_bytes(storage.join(root, model, f"claims/{number}.json"), json.dumps(claim).encode())
    storage.write_bytes(storage.join(root, model, f"versions/{number}/variables/variables.index"), b"half of")


def rewrite_manifest(version, changes):
    data = json.dumps(version.manifest | changes).encode()
    storage.write_bytes(storage.join(version.uri, registry.MANIFEST), data)


def test_a_published_version_is_whole_and_described(root, make):
    version = make()
    assert (version.model, version.number, version.uri) == ("digits", 1, storage.join(root, "digits/versions/1"))
    assert registry.versions(root, "digits") == [version]
    assert registry.resolve(root, "registry:digits/1") == version
    stored = {
        item.uri.removeprefix(f"{version.uri}/"): storage.read_bytes(item.uri)
        for item in storage.list_files(version.uri)
    }
    manifest = stored.pop("manifest.json")
    assert stored == {**FILES, "weights": b"one"}
    assert json.loads(manifest) == version.manifest
    assert digests.of_bytes(manifest) == version.manifest_digest
    assert version.manifest["files"] == {
        name: {"sha256": digests.of_bytes(data), "size": len(data)} for name, data in stored.items()
    }
    expected = {"schema": "frostline/version/v1", "model": "digits", "version": 1, "metadata": {"n": 1}}
    assert expected.items() <= version.manifest.items()


def test_the_servable_file_is_the_last_before_the_manifest(make):
    assert list(make().manifest["files"])[-1] == "saved_model.pb"


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
        registry.resolve(root, "registry:digits/2")
    assert str(caught.value) == f"registry:digits/2: {root} has no such version; it has [1]"
    assert make(b"two").number == 3
    assert [version.number for version in registry.versions(root, "digits")] == [1, 3]


def test_a_publisher_that_fails_half_way_leaves_no_version(root, make, tmp_path):
    storage.write_bytes(storage.join(root, "digits/versions/1/weights"), b"in the way")
    with pytest.raises(StorageError, match="exists already"):
        make(b"one")
    assert registry.versions(root, "digits") == []
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


@pytest.mark.parametrize("name", ["", "..", "a/b", "Upper", "a\n", "-a", "x" * 64])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(RegistryError, match="model_name"):
        registry.champion(str(tmp_path), name)


def test_the_first_promotion_expects_no_champion(root, make):
    version = make()
    assert registry.champion(root, "digits") is None
    alias = registry.promote(root, version, expected=None, reason="the first")
    assert (alias.version, alias.manifest_digest) == (1, version.manifest_digest)
    assert registry.champion(root, "digits") == alias
    assert registry.resolve(root, "registry:digits@champion") == registry.resolve(root, "registry:digits") == version


def test_a_promotion_holds_if_the_champion_changed_meanwhile(root, make):
    one, two, three = make(b"one"), make(b"two"), make(b"three")
    compared = registry.promote(root, one, expected=None, reason="first")
    serving = registry.promote(root, two, expected=compared, reason="second")
    for outdated, name in ((compared, "version 1"), (None, "no champion")):
        with pytest.raises(ChampionChanged) as caught:
            registry.promote(root, three, expected=outdated, reason="late")
        assert str(caught.value) == f"digits: the champion is version 2 now; version 3 was compared with {name}"
    assert registry.champion(root, "digits") == serving
    assert len(storage.list_files(storage.join(root, "digits/promotions"))) == 2


def test_there_and_back_is_a_change_too(root, make):
    one, two = make(b"one"), make(b"two")
    compared = registry.promote(root, one, expected=None, reason="first")
    again = registry.promote(root, one, expected=registry.promote(root, two, expected=compared, reason="2"), reason="3")
    assert again.manifest_digest == compared.manifest_digest
    with pytest.raises(ChampionChanged):
        registry.promote(root, two, expected=compared, reason="compared with the first reign")


def test_one_of_many_promotions_wins(root, make):
    made = [make(str(number).encode()) for number in range(4)]

    def promote(version):
        try:
            return registry.promote(root, version, expected=None, reason="race")
        except ChampionChanged:
            return None

    with ThreadPoolExecutor(4) as pool:
        winners = [alias for alias in pool.map(promote, made) if alias]
    assert winners == [registry.champion(root, "digits")]


def promotions(root):
    return [
        json.loads(storage.read_bytes(item.uri)) for item in storage.list_files(storage.join(root, "digits/promotions"))
    ]


def test_every_promotion_is_recorded_once_and_in_order(root, make):
    alias = registry.promote(root, make(b"one"), expected=None, reason="first")
    registry.promote(root, make(b"two"), expected=alias, reason="better")
    told = [(entry["previous_version"], entry["version"], entry["reason"]) for entry in promotions(root)]
    assert told == [(None, 1, "first"), (1, 2, "better")]


def test_a_promotion_whose_writer_died_before_the_record_is_recorded_by_the_next(root, make):
    alias = registry.promote(root, make(b"one"), expected=None, reason="first")
    alias_uri = storage.join(root, "digits/aliases/champion.json")
    orphan = {
        **json.loads(storage.read_bytes(alias_uri)),
        "promotion": "20000101T000000000000-dead",
        "reason": "orphan",
    }
    storage.write_bytes(alias_uri, json.dumps(orphan).encode())
    alias = registry.champion(root, "digits")
    registry.promote(root, make(b"two"), expected=alias, reason="next")
    assert sorted(entry["reason"] for entry in promotions(root)) == ["first", "next", "orphan"]


def test_a_download_is_the_directory_checked(root, make, tmp_path):
    version = make()
    directory = registry.download(version, tmp_path / "into")
    assert {name: (directory / name).read_bytes() for name in FILES} == FILES
    assert (directory / "weights").read_bytes() == b"one"


@pytest.mark.parametrize("data", [b"onf", b"on", b"onee"])
def test_a_stored_file_that_changed_is_refused(root, make, tmp_path, data):
    version = make(b"one")
    storage.write_bytes(storage.join(version.uri, "weights"), data)
    with pytest.raises(RegistryError, match="weights: received") as caught:
        registry.download(version, tmp_path / "into")
    assert digests.of_bytes(data) in str(caught.value)


@pytest.mark.parametrize("path", ["../../../outside", "/etc/hostname", "a/../../b", "", "variables\\x"])
def test_a_path_that_leads_out_of_the_directory_is_refused(root, make, tmp_path, path):
    version = make()
    rewrite_manifest(version, {"files": {path: {"sha256": digests.of_bytes(b""), "size": 0}}})
    with pytest.raises(RegistryError, match="relative path"):
        registry.download(registry.resolve(root, "registry:digits/1"), tmp_path / "into")
    assert not (tmp_path / "into").exists()


@pytest.mark.parametrize("path", ["missing", "variables"])
def test_a_listed_file_that_is_none_is_refused(root, make, tmp_path, path):
    version = make()
    rewrite_manifest(version, {"files": {path: {"sha256": digests.of_bytes(b""), "size": 0}}})
    with pytest.raises(RegistryError, match=path):
        registry.download(registry.resolve(root, "registry:digits/1"), tmp_path / "into")


def test_a_manifest_that_changed_after_the_promotion_does_not_serve(root, make):
    version = make()
    registry.promote(root, version, expected=None, reason="first")
    rewrite_manifest(version, {"metadata": {"n": 2}})
    with pytest.raises(RegistryError, match="not the one that was promoted"):
        registry.resolve(root, "registry:digits@champion")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "frostline/version/v9"}, "is not a frostline/version/v1 file"),
        ({"version": 7}, "describes digits version 7"),
        ({"files": ["x"]}, "files: received"),
        ({"identity": None}, "identity: received None; expected str"),
    ],
)
def test_a_malformed_manifest_is_named(root, make, changes, message):
    version = make()
    rewrite_manifest(version, changes)
    with pytest.raises(RegistryError, match=message) as caught:
        registry.resolve(root, "registry:digits/1")
    assert version.uri in str(caught.value)


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"schema": "frostline/alias/v1", "version": "1"}'])
def test_a_malformed_alias_is_named(root, data):
    uri = storage.join(root, "digits/aliases/champion.json")
    storage.write_bytes(uri, data)
    with pytest.raises(RegistryError, match=r"champion\.json: "):
        registry.champion(root, "digits")


@pytest.mark.parametrize(
    "reference", ["digits", "registry:", "registry:digits@latest", "registry:digits/0", "registry:d/1/2"]
)
def test_a_reference_that_is_none_is_refused(root, reference):
    with pytest.raises(RegistryError) as caught:
        registry.resolve(root, reference)
    assert str(caught.value).startswith(f"received {reference!r}; expected registry:MODEL@champion")


def test_a_model_without_champion_is_told(root, make):
    make()
    with pytest.raises(RegistryError) as caught:
        registry.resolve(root, "registry:digits")
    assert str(caught.value) == f"registry:digits: {root} has no champion of digits; push a model of that name first"


def test_a_local_registry_takes_links_and_is_read_in_place(tmp_path):
    source = tmp_path / "model"
    source.mkdir()
    (source / "weights").write_bytes(b"large")
    version = registry.publish(str(tmp_path / "root"), "digits", source, identity="x", metadata={})
    assert registry.download(version, tmp_path / "into") == Path(version.uri)
    assert (Path(version.uri) / "weights").samefile(source / "weights")


def test_a_registry_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").touch()
    with pytest.raises(StorageError, match="cannot be written") as caught:
        registry.publish(str(tmp_path / "file" / "root"), "digits", tmp_path / "model", identity="x", metadata={})
    assert str(tmp_path / "file" / "root") in str(caught.value)
