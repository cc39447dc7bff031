"""The InferenceService: KServe's fields, the version's own address, and the path that TensorFlow Serving looks at."""

import pytest
import yaml

from frostline.registry import Version, inference_service

SAVED = {"saved_model.pb": 2**20, "variables/variables.data-00000-of-00001": 3 * 2**29, "variables/variables.index": 10}


PUSHED = "pushed: flowers version 7 is the champion"


def version(uri, number=7, **files):
    entries = {
        name: {"sha256": "0" * 64, "size": size} for name, size in {**SAVED, "model.keras": 2**40, **files}.items()
    }
    return Version("flowers", number, uri, {"files": entries, "metadata": {}}, "d" * 64)


def test_it_names_the_immutable_version_where_tensorflow_serving_looks_for_a_number():
    service = yaml.safe_load(inference_service.manifest(version("gs://bucket/models/flowers/versions/7"), PUSHED))
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert service["metadata"] == {
        "name": "flowers",
        "annotations": {"frostline/version": "7", "frostline/manifest-digest": "d" * 64},
    }
    assert set(service) == {"apiVersion", "kind", "metadata", "spec"}
    predictor = service["spec"].pop("predictor")
    assert service["spec"] == {}
    # A field of the predictor, beside `model`; KServe refuses it together with the model's own storageUri.
    assert predictor["storageUris"] == [{"uri": "gs://bucket/models/flowers/versions/7", "mountPath": "/mnt/models/7"}]
    assert set(predictor) == {"storageUris", "model"}
    assert set(predictor["model"]) == {"modelFormat", "resources"}
    assert predictor["model"]["modelFormat"] == {"name": "tensorflow"}


def test_memory_is_asked_for_by_the_size_of_what_is_served():
    service = yaml.safe_load(inference_service.manifest(version("gs://bucket/m"), PUSHED))
    resources = service["spec"]["predictor"]["model"]["resources"]
    # 1.5 GiB and a little, twice, and 1 GiB; model.keras is not served
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "5Gi"
    assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}


@pytest.mark.parametrize(
    ("uri", "stored", "hint"),
    [
        ("gs://bucket/models/flowers/versions/7", "gs://bucket/models/flowers/versions/7", False),
        ("/frostline/registry/flowers/versions/7", "pvc://frostline/registry/flowers/versions/7", False),
        ("runs/registry/flowers/versions/7", "pvc://CLAIM/PATH/OF/THE/VERSION", True),
        ("/srv/frostline/flowers/versions/7", "pvc://CLAIM/PATH/OF/THE/VERSION", True),
    ],
)
def test_a_directory_becomes_the_claim_that_it_is_on_or_the_file_says_what_to_fill_in(uri, stored, hint):
    text = inference_service.manifest(version(uri), PUSHED)
    assert yaml.safe_load(text)["spec"]["predictor"]["storageUris"][0]["uri"] == stored
    assert (f"# No pod can read {uri}: put the version on a volume" in text) == hint


def test_it_is_a_pure_function_of_the_version():
    assert inference_service.manifest(version("gs://b/7"), PUSHED) == inference_service.manifest(
        version("gs://b/7"), PUSHED
    )
    assert inference_service.manifest(version("gs://b/7"), PUSHED) != inference_service.manifest(
        version("gs://b/7", number=8), PUSHED
    )


def test_it_says_what_became_of_the_version_and_warns_where_that_is_not_the_champion():
    text = inference_service.manifest(version("gs://b/7"), PUSHED)
    assert text.startswith(f"# {PUSHED}\n")
    assert "DO NOT APPLY" not in text
    waits = "candidate: flowers version 7 waits for approval; frostline registry promote ..."
    text = inference_service.manifest(version("gs://b/7"), waits)
    assert text.splitlines()[:2] == ["# DO NOT APPLY YET: this version is not the champion.", f"# {waits}"]


@pytest.mark.parametrize("break_", ["\n---\n", "\r", "\x85", "\u2028", "\u202e", "\x1b[2K"])
def test_what_people_and_buckets_say_stays_a_comment(break_):
    pod = f"held: by Mallory{break_}apiVersion: v1{break_}kind: Pod"
    text = inference_service.manifest(version(f"/models{break_}kind: Pod"), pod)
    (service,) = yaml.safe_load_all(text)
    assert service["kind"] == "InferenceService"
    assert text.replace("\n", "").isprintable()
