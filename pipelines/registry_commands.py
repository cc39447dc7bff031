"""The commands `frostline registry`: what versions there are and what happened, who is champion, what is removed."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from frostline import quiet
from frostline.errors import RegistryError
from frostline.text import one_line
from pipelines.options import PUBLIC_KEY, AsJson, Debug, PublicKey

if TYPE_CHECKING:
    from frostline.documents.chain import ChainRow
    from frostline.registry import Alias, Version


class _Row(TypedDict):
    """What the commands print of a version."""

    model: str
    version: int
    state: str
    uri: str
    manifest_digest: str


_KEY = "--key"
app = typer.Typer(help="Inspect a model registry, and decide which version is the champion.", no_args_is_help=True)


Root = Annotated[str, typer.Argument(metavar="ROOT", help="Root of the registry: a directory or gs://.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name of the model.")]


def _words(parameter: typer.CallbackParam, text: str) -> str:
    """Check what a person gives for the record before anything is read."""
    from frostline.registry.objects import check_words

    check_words(str(parameter.name), text)
    return text


Approver = Annotated[
    str, typer.Option("--approver", metavar="NAME", help="Who decides, for the record.", callback=_words)
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, for the record; at most 500 characters.", callback=_words)
]


@app.command("list")
def list_(root: Root, model: Model, as_json: AsJson = False, debug: Debug = False) -> None:
    """List a model's versions and their states: champion, candidate, earlier champion, superseded, ..."""
    from frostline import registry

    found = registry.versions(root, model)
    if not found:
        raise RegistryError(f"{root}: there is no version of {model!r}")
    states = registry.states(root, model)
    rows = [_identity(version, states) for version in found]
    if as_json:
        typer.echo(json.dumps([{**row, "champion": row["state"] == "champion"} for row in rows], indent=2))
        return
    for row in rows:
        typer.echo(f"{row['version']:>4}  {row['state']:<16}  {row['manifest_digest'][:12]}  {row['uri']}")


@app.command()
def show(
    root: Root,
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help="MODEL, MODEL@champion or MODEL/N.")],
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show one version: its state, address, digest, metadata and files."""
    from frostline import registry

    version = registry.look_up(root, f"registry:{reference.removeprefix('registry:')}")
    identity = _identity(version, registry.states(root, version.model))
    if as_json:
        typer.echo(json.dumps({**identity, "manifest": version.manifest}, indent=2))
        return
    for key, value in {**identity, **version.manifest["metadata"]}.items():
        typer.echo(f"{key:<16} {value if isinstance(value, str | int | float) else json.dumps(value)}")
    for path, entry in version.manifest["files"].items():
        typer.echo(f"  {entry['size']:>12,}  {entry['sha256'][:12]}  {path}")


@app.command()
def promote(
    root: Root,
    model: Model,
    number: Annotated[int, typer.Argument(metavar="N", help="Number of the candidate.")],
    approver: Approver,
    reason: Reason,
    public_key: PublicKey = "",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Approve a candidate: make it the champion, if it verifies and was compared with the present champion."""
    from frostline import registry
    from frostline.registry.keys import optional_public_key

    key = optional_public_key(public_key, PUBLIC_KEY)
    before, (version, _) = registry.champion(root, model), registry.candidate(root, model, number)
    quiet.import_tensorflow()
    from frostline.verification.verify import require_verified

    require_verified(version.uri, f"{model} version {number}", key)
    _print_champion(model, before, registry.approve(root, model, number, approver=approver, reason=reason), as_json)


@app.command()
def rollback(
    root: Root,
    model: Model,
    approver: Approver,
    reason: Reason,
    to: Annotated[
        int | None, typer.Option("--to", metavar="N", help="An earlier champion; default: the previous one.")
    ] = None,
    public_key: PublicKey = "",
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make an earlier champion the champion again."""
    from frostline import registry
    from frostline.registry.keys import optional_public_key

    key = optional_public_key(public_key, PUBLIC_KEY)
    if key is not None:
        to = registry.previous_champion(root, model) if to is None else to
        _require_signed(root, model, to, key)
    before = registry.champion(root, model)
    _print_champion(model, before, registry.rollback(root, model, to=to, approver=approver, reason=reason), as_json)


@app.command()
def prune(
    root: Root,
    model: Model,
    keep: Annotated[int, typer.Option("--keep", metavar="N", help="Number of newest versions to keep in any case.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Remove old versions and remains of dead publishers; never champion, its predecessor, reference or candidate."""
    from frostline import registry

    removals = registry.prune(root, model, keep=keep, dry_run=dry_run)
    if as_json:
        rows = [{"version": one.number, "state": one.state, "files": one.files, "bytes": one.size} for one in removals]
        typer.echo(json.dumps(rows, indent=2))
        return
    for one in removals:
        typer.echo(f"{one.number:>4}  {one.state:<16}  {len(one.files):>4} files  {one.size:>15,} bytes")
        for address in one.files if dry_run else ():
            typer.echo(f"      {one_line(address, len(address))}")
    total = sum(one.size for one in removals)
    typer.echo(f"{'would remove' if dry_run else 'removed'} {len(removals)} of {model}, {total:,} bytes")


@app.command()
def history(root: Root, model: Model, as_json: AsJson = False, debug: Debug = False) -> None:
    """List what happened to the champion: evaluations, promotions, rollbacks and pinned references, oldest first."""
    from frostline import registry

    rows = registry.chain(root, model)
    if not rows:
        raise RegistryError(f"{root}: there is no history of {model!r}")
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.echo(_history_line(row))


def _history_line(row: ChainRow) -> str:
    """One row of the history; the accuracy's interval has the confidence level that the gate was configured with."""
    version = "" if row["version"] is None else f"version {row['version']}"
    parts = [f"{row['at'][:16].replace('T', ' ')}  {row['kind']:<16}  {version:<12}"]
    rate = row["accuracy"]
    if rate is not None:
        images = "" if row["images"] is None else f" on {row['images']:,} images"
        span = f"{100 * rate['low']:.1f} to {100 * rate['high']:.1f}"
        parts.append(f"{100 * rate['value']:5.1f} % ({span}){images}")
    for name, other in (("champion", row["champion"]), ("reference", row["reference"])):
        if other is not None:
            gain = "not comparable" if other["gain"] is None else f"{100 * other['gain']:+.2f} points"
            parts.append(f"{name} {other['version']}: {gain}")
    if row["approver"]:
        parts.append(f"by {row['approver']}")
    if row["reason"] and (row["approver"] or row["kind"] != "promoted"):
        parts.append(one_line(row["reason"], 120))
    return "  ".join(parts)


@app.command()
def pin(
    root: Root,
    model: Model,
    number: Annotated[int, typer.Argument(metavar="N", help="Number of a version.")],
    approver: Approver,
    reason: Reason,
    debug: Debug = False,
) -> None:
    """Name the reference: the version that new models are compared with besides the champion, until it is unpinned."""
    from frostline import registry

    registry.pin(root, model, number, approver=approver, reason=reason)
    typer.echo(f"{model} version {number} is the reference until it is unpinned")


@app.command()
def unpin(root: Root, model: Model, approver: Approver, reason: Reason, debug: Debug = False) -> None:
    """Let evidence choose the reference again."""
    from frostline import registry

    registry.pin(root, model, None, approver=approver, reason=reason)
    found = registry.references(root, model)
    typer.echo(f"{model} {f'version {found[0].version}' if found else 'no version'} is the reference")


@app.command()
def sign(
    root: Root,
    model: Model,
    number: Annotated[int, typer.Argument(metavar="N", help="Number of a version.")],
    key: Annotated[str, typer.Option(_KEY, metavar="FILE", help="The private key, PEM.")],
    debug: Debug = False,
) -> None:
    """Sign a version that was published without a signature or with another key, if it verifies."""
    from frostline import registry
    from frostline.registry.keys import public_half

    public_half(key, _KEY)  # before anything is read
    version = registry.look_up(root, f"registry:{model}/{number}")
    quiet.import_tensorflow()
    from frostline.verification.verify import require_verified

    require_verified(version.uri, f"{model} version {number}", consequence="so it is not signed")
    with tempfile.TemporaryDirectory() as scratch:
        directory = registry.download(version, Path(scratch) / "version", copy=True)
        signed = registry.sign(version, directory, key, _KEY)
    typer.echo(f"{model} version {number} {'is signed' if signed else 'already has a signature with this key'}")


def _require_signed(root: str, model: str, number: int | None, key: bytes) -> None:
    """The signature of a version that is to become the champion; nothing where the caller says that there is none."""
    from frostline import registry

    version = None if number is None else registry.load(root, model, number)
    if version is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        registry.download_signed(version, Path(scratch) / "version", key)


def _print_champion(model: str, before: Alias | None, after: Alias, as_json: bool) -> None:
    previous = None if before is None else before.version
    if as_json:
        result = {"model": model, "version": after.version, "manifest_digest": after.manifest_digest}
        typer.echo(json.dumps({**result, "previous_version": previous}, indent=2))
        return
    replaced = "" if previous is None else f"; it replaced version {previous}"
    typer.echo(f"{model} version {after.version} is the champion{replaced}")


def _identity(version: Version, states: dict[int, str]) -> _Row:
    return {
        "model": version.model,
        "version": version.number,
        "state": states.get(version.number, "removed"),
        "uri": version.uri,
        "manifest_digest": version.manifest_digest,
    }
