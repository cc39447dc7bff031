"""`frostline registry` as a person meets it: what it prints, what it changes, and one line for each refusal."""

import json

import pytest

from frostline import registry
from pipelines import cli

from tests.support.attempts import Chain
from tests.support.pushes import Run, compared_with
from tests.support.registries import Models

WHO = ["--approver", "Ada", "--reason", "looked at the mistakes"]


@pytest.fixture
def make(tmp_path):
    return Models(str(tmp_path / "registry"), tmp_path / "made")


@pytest.fixture
def call(capsys, make):
    """Calls `frostline registry COMMAND ROOT ...`: exit code, standard output, standard error."""

    def called(command, *arguments):
        with pytest.raises(SystemExit) as caught:
            cli.main(["registry", command, make.root, *map(str, arguments)])
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return called


def error_line(answer):
    code, out, err = answer
    assert out == ""
    assert err.startswith("frostline: error: ")
    assert err.count("\n") == 1
    return code, err.removeprefix("frostline: error: ").strip()


@pytest.fixture
def waiting(make):
    """Two champions one after the other, and a candidate that was compared with the second."""
    alias = make.promoted(b"one", b"two")
    registry.nominate(make.root, make(b"three"), compared_with=alias)
    return alias


def test_list_and_show_tell_what_each_version_is(call, make, waiting):
    registry.reject(make.root, make(b"four"), reason="it does not load")
    code, out, _ = call("list", "digits")
    assert code == 0
    assert [line[6:22].strip() for line in out.splitlines()] == [
        "earlier champion",
        "champion",
        "candidate",
        "rejected",
    ]
    rows = json.loads(call("list", "digits", "--json")[1])
    assert [(row["version"], row["state"], row["champion"]) for row in rows][1:3] == [
        (2, "champion", True),
        (3, "candidate", False),
    ]
    assert "state            candidate\n" in call("show", "digits/3")[1]
    assert json.loads(call("show", "digits", "--json")[1])["state"] == "champion"
    code, message = error_line(call("show", "digits/4"))
    assert code == 1
    assert message.endswith("was rejected: it does not load")


@pytest.fixture
def candidate(make, made, tmp_path, capsys):
    """A real model, version 2, that waits for approval; the first one is the champion."""
    Run(tmp_path / "first", make.root, made).push()
    Run(tmp_path / "second", make.root, made, "d2", compared_with(make.root), approval="required").push()
    capsys.readouterr()


def test_promote_moves_the_alias_to_the_candidate_and_records_who_and_why(call, make, candidate):
    code, out, err = call("promote", "digits", 2, *WHO)
    assert (code, out, err) == (0, "digits version 2 is the champion; it replaced version 1\n", "")
    last = registry.history(make.root, "digits")[-1]
    assert (last.kind, last.version, last.approver, last.reason) == ("approval", 2, "Ada", "looked at the mistakes")


def test_promote_as_json(call, candidate):
    told = json.loads(call("promote", "digits", 2, *WHO, "--json")[1])
    assert {name: told[name] for name in ("model", "version", "previous_version")} == {
        "model": "digits",
        "version": 2,
        "previous_version": 1,
    }


def test_a_candidate_that_does_not_verify_is_not_promoted(call, make, waiting):
    """Such as one that was pushed before push verified: its files are as published, and are no model."""
    code, message = error_line(call("promote", "digits", 3, *WHO))
    assert code == 1
    assert message.startswith("digits version 3 does not verify, so it cannot become the champion; certificate: ")
    assert registry.champion(make.root, "digits") == waiting


def test_a_candidate_of_an_earlier_champion_is_refused_in_one_line(call, make, waiting):
    make.promoted(b"five")
    code, message = error_line(call("promote", "digits", 3, *WHO))
    assert code == 1
    assert message.startswith("digits: the champion is version 4 now; version 3 was compared with version 2; run the")
    assert registry.champion(make.root, "digits").version == 4


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["digits", 3, "--reason", "x"], "--approver"),
        (["digits", 3, "--approver", "Ada"], "--reason"),
        (["digits", 3, "--approver", " ", "--reason", "x"], "--approver: received ' '"),
        (["digits", 3, "--approver", "Ada", "--reason", "x" * 501], "--reason: received"),
        (["digits", "three", *WHO], "'N'"),
    ],
)
def test_promote_without_a_usable_name_reason_or_number_is_wrong_usage(call, make, waiting, arguments, named):
    code, message = error_line(call("promote", *arguments))
    assert code == 2
    assert named in message
    assert registry.champion(make.root, "digits") == waiting


def test_rollback_goes_to_the_champion_before_or_the_one_that_is_named(call, make, waiting):
    assert call("rollback", "digits", *WHO)[:2] == (0, "digits version 1 is the champion; it replaced version 2\n")
    assert call("rollback", "digits", "--to", 2, *WHO)[:2] == (
        0,
        "digits version 2 is the champion; it replaced version 1\n",
    )
    assert [entry.kind for entry in registry.history(make.root, "digits")][2:] == ["rollback"] * 2
    code, message = error_line(call("rollback", "digits", "--to", 3, *WHO))
    assert (code, message) == (1, "digits version 3 was never the champion; champions were [1, 2]")
    assert error_line(call("rollback", "digits", "--approver", "Ada"))[0] == 2


def test_prune_tells_what_goes_and_removes_it_only_without_dry_run(call, make, waiting):
    make.promoted(b"four", b"five")
    code, told, _ = call("prune", "digits", "--keep", 1, "--dry-run")
    assert (code, make.numbers()) == (0, [1, 2, 3, 4, 5])
    assert told.splitlines()[-1].startswith("would remove 2 of digits, ")
    named = {line.split("/versions/")[1] for line in told.splitlines() if "/versions/" in line}
    stored = {f"{number}/{path}" for number in (2, 3) for path in make.stored(f"versions/{number}")}
    assert named == stored - {"2/manifest.json", "3/manifest.json"}  # which becomes that of a removed version
    rows = json.loads(call("prune", "digits", "--keep", 1, "--json")[1])
    assert [(row["version"], row["state"]) for row in rows] == [
        (2, "earlier champion"),
        (3, "superseded"),
    ]
    assert make.numbers() == [1, 4, 5]
    assert call("prune", "digits", "--keep", 1)[1] == "removed 0 of digits, 0 bytes\n"
    for arguments in (["digits"], ["digits", "--keep", 0], ["digits", "--keep", "few"]):
        assert error_line(call("prune", *arguments))[0] == 2


def test_a_model_that_is_not_there_is_exit_code_1(call):
    for command, arguments in (("promote", [1, *WHO]), ("rollback", WHO)):
        assert error_line(call(command, "roses", *arguments))[0] == 1


def test_history_tells_what_happened_in_one_line_each(call, make):
    chain = Chain(make.root, make)
    chain.promote(b"one")
    chain.promote(b"two")
    chain.hold("worse", reference=registry.champion(make.root, "digits"))
    registry.rollback(make.root, "digits", approver="Ada", reason="complaints")
    code, out, err = call("history", "digits")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 4
    held = next(line for line in lines if "held" in line)
    assert held.startswith("2026-01-01 00:00  held ")
    assert "90.0 % (80.0 to 95.0) on 40 images  champion 2: +0.00 points  reference 2: +0.00 points  worse" in held
    [back] = [line for line in lines if "rolled back" in line]
    assert "version 1" in back
    assert back.endswith("by Ada  complaints")
    assert sum("promoted" in line for line in lines) == 2
    rows = json.loads(call("history", "digits", "--json")[1])
    assert sorted(row["kind"] for row in rows) == ["held", "promoted", "promoted", "rolled back"]


def test_a_model_without_a_history_is_told(call):
    assert error_line(call("history", "digit"))[1].endswith("there is no history of 'digit'")


def test_pin_and_unpin_name_the_reference(call, make, waiting):
    code, out, _ = call("pin", "digits", 2, *WHO)
    assert (code, out) == (0, "digits version 2 is the reference until it is unpinned\n")
    assert [one.version for one in registry.references(make.root, "digits")] == [2]
    assert "pinned" in call("history", "digits")[1]
    assert call("unpin", "digits", *WHO)[1] == "digits version 1 is the reference\n"
    assert error_line(call("unpin", "digits", *WHO))[1].endswith("has no pinned reference of digits")
    code, message = error_line(call("pin", "digits", 9, *WHO))
    assert (code, message.endswith("has no version 9 of digits to compare with; it has [1, 2, 3]")) == (1, True)
