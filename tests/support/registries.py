"""Small models in a registry, published without a push."""

import json
import re

from frostline import artifacts, digests, registry, storage
from frostline.registry.objects import Claim
from frostline.registry.seals import parse

FILES = {"saved_model.pb": b"graph", "variables/variables.index": b"", "model.keras": bytes(range(256)) * 40}


def before_manifest(monkeypatch, act):
    """Call `act(number)` each time the manifest of a version is about to be written; its errors are the writer's."""
    write = storage.write_bytes

    def written(uri, data, *arguments, **named):
        place = re.fullmatch(r".*/versions/(\d+)/manifest\.json", uri)
        if place and artifacts.schema("version").encode() in data[:100]:
            act(int(place[1]))
        return write(uri, data, *arguments, **named)

    monkeypatch.setattr(storage, "write_bytes", written)


def sealed(record, **changes):
    """The bytes of a record's file with other content, and the seal of that content."""
    content = {key: value for key, value in {**record, **changes}.items() if key not in ("schema", "seal")}
    whole = {"schema": record["schema"], **content, "seal": digests.of_json(content)}
    return (json.dumps(whole, indent=2) + "\n").encode()


def forge(root, model, number, name, data):
    """Write one file of a version anew, as whoever can write to the registry could: all digests are made to match."""
    version = registry.versions(root, model)[number - 1]
    place = storage.join(root, model)
    manifest = json.loads(data) if name == "manifest.json" else dict(version.manifest)
    if name != "manifest.json":
        storage.write_bytes(storage.join(version.uri, name), data)
        entry = {"sha256": digests.of_bytes(data), "size": len(data)}
        manifest["files"] = {**manifest["files"], name: entry}
    manifest["content"] = digests.of_json({key: manifest[key] for key in ("identity", "files", "metadata")})
    data = artifacts.encode("version", manifest)
    storage.write_bytes(storage.join(version.uri, "manifest.json"), data)
    digest = digests.of_bytes(data)
    for item in storage.list_files(place):
        kind = item.uri.removeprefix(f"{place}/").split("/")[0]
        if kind in ("claims", "standings", "aliases", "promotions"):
            record = json.loads(storage.read_bytes(item.uri))
            if record["version"] == number:
                changes = {"content": manifest["content"]} if kind == "claims" else {"manifest_digest": digest}
                storage.write_bytes(item.uri, sealed(record, **changes))
    return registry.versions(root, model)[number - 1]


class Models:
    """Publishes models; a model's identity is the digest of its content."""

    def __init__(self, root, directory):
        self.root, self.directory = root, directory

    def __call__(self, content=b"one", model="digits", verdict="promote", **metadata):
        directory = self.files(content, verdict)
        metadata = {"n": 1, **metadata}
        return registry.publish(self.root, model, directory, identity=digests.of_bytes(content), metadata=metadata)

    def files(self, content=b"one", verdict="promote"):
        directory = self.directory / digests.of_bytes(content)
        decision = artifacts.encode("decision", {"verdict": verdict, "reason": "not worse", "checks": []})
        for name, data in {**FILES, "weights": content, "decision.json": decision}.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():  # a local registry may hold a link to it
                path.write_bytes(data)
        return directory

    def promoted(self, *contents):
        """Publish models that replace each other; return the last one's alias."""
        alias = registry.champion(self.root, "digits")
        for content in contents:
            alias = registry.promote(self.root, self(content), expected=alias, reason="better")
        return alias

    def numbers(self):
        return [version.number for version in registry.versions(self.root, "digits")]

    def stored(self, place=""):
        """The stored files below a place in the model's part of the registry, by relative address."""
        uri = storage.join(self.root, "digits", *([place] if place else []))
        return {item.uri.removeprefix(f"{uri}/"): storage.read_bytes(item.uri) for item in storage.list_files(uri)}

    def backdate(self, *numbers):
        """Make some claims years old."""
        for number in numbers:
            uri = storage.join(self.root, "digits/claims", f"{number}.json")
            claim = parse(Claim, storage.read_bytes(uri), uri)
            old = claim.model_copy(update={"claimed_at": "2020-01-01T00:00:00+00:00"})
            storage.write_bytes(uri, old.encode())
