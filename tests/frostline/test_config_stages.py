"""Every stage checks every parameter that it receives, as a run's configuration is checked, before it does anything."""

import importlib
import inspect

import pytest

from frostline import attempts
from frostline.config import RunConfig
from frostline.errors import ConfigError, FrostlineError

STAGES = ("ingest", "prepare", "validate", "train", "evaluate", "gate", "release")  # plan takes all in one
GOOD = {**RunConfig().arguments(), "source": "nowhere", "worker": "00000-of-00002"}
LISTS = ("features", "examples")  # of directories
NAN, INF = float("nan"), float("inf")
WRONG = {
    "source": ["", None, 3, "a\0b", "\udcff"],
    "image_size": [0, -1, 15, 2049, 32.5, NAN, INF, None, "32", True, 10**30, [32]],
    "epochs": [0, -1, 2.5, NAN, INF, -INF, None, "3", True, 10**30, 1e300, 10**5000],
    "batch_size": [0, -8, 0.5, NAN, INF, None, "32", False, 2**31],
    "learning_rate": [0, 0.0, -1, -1e-9, NAN, INF, None, "fast", True, 10**400, "\u0661e\u0661"],
    "seed": [-1, 2**31, 0.5, NAN, None, "0", True],
    "shards": [0, -1, 1001, 1.5, NAN, None, "2", True],
    "workers": [0, -1, 9, 1.5, NAN, None, "2", True],
    "store": ["", None, 3, "a\0b", "gs://a\0b", "\ud800"],
    "registry": ["", None, [], "a\0b"],
    "image": [None, 3, "a\0b"],
    "model_name": ["", "..", "a/b", "A", "-a", "a" * 64, "\u00e9", "a\n", "\u0661", None, 3],
    "worker": ["", "\u00b2-of-9", "\u0661-of-\u0669", "00002-of-00002", "00003-of-00002", "0-of-2", "-0001-of-00002",
               "00000-of-00002\n", " 00000-of-00002", "000_0-of-00002", "00000-of-00000", "0" * 5000 + "-of-00002",
               None, 3],
    **{section: [None, "odd", 3, [], {"odd": 1}, {"odd": NAN}] for section in
       ("data", "head", "training", "augment", "cache", "gate", "signing")},
}  # fmt: skip


def call(stage, tmp_path, **changed):
    """The stage, with good parameters and directories that do not exist, except for what is changed."""
    run = importlib.import_module(f"frostline.{stage}").run
    arguments = {}
    for name in inspect.signature(run).parameters:
        place = str(tmp_path / name)
        arguments[name] = GOOD.get(name, [place] if name in LISTS else place)
    store = {"store": str(tmp_path / "store")} if "store" in arguments else {}
    return run(**{**arguments, **store, **changed})


def taken(stage):
    run = importlib.import_module(f"frostline.{stage}").run
    return [name for name in inspect.signature(run).parameters if name in WRONG]


CASES = [(stage, name, value) for stage in STAGES for name in taken(stage) for value in WRONG[name]]


@pytest.mark.parametrize(
    ("stage", "name", "value"), CASES, ids=[f"{stage}-{name}-{n}" for n, (stage, name, _) in enumerate(CASES)]
)
def test_a_wrong_parameter_is_one_line_and_exit_code_2_and_nothing_is_done(stage, name, value, tmp_path):
    with pytest.raises(ConfigError) as caught:
        call(stage, tmp_path, **{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name}")
    assert message.isprintable()
    assert len(message) < 1500
    assert caught.value.exit_code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", STAGES)
def test_with_good_parameters_it_goes_on_to_its_files(stage, tmp_path):
    """Whole numbers may arrive as floats."""
    floats = {name: float(GOOD[name]) for name in taken(stage) if isinstance(GOOD[name], int)}
    if stage == "gate":  # decides to hold without evidence
        assert call(stage, tmp_path, **floats) is False
        return
    with pytest.raises(FrostlineError) as caught:
        call(stage, tmp_path, **floats)
    assert not isinstance(caught.value, ConfigError)


def test_every_parameter_of_a_run_that_a_stage_takes_is_tried_here():
    for stage in STAGES:
        run = importlib.import_module(f"frostline.{stage}").run
        own = set(inspect.signature(run).parameters) & set(RunConfig.model_fields)
        assert own <= set(taken(stage)), stage


@pytest.mark.parametrize("value", [0, -1, NAN, "\u0662"])
def test_the_pod_of_a_stage_ends_with_exit_code_2_and_the_reason(tmp_path, capfd, value):
    with pytest.raises(SystemExit) as ended:
        attempts.run(
            "ingest", source="digits", data={}, shards=value, workers=1, store=str(tmp_path), dataset=str(tmp_path)
        )
    assert ended.value.code == 2
    said = capfd.readouterr().err
    assert said.startswith("ingest failed: shards: ")
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stage", ["evaluate", "plan"])
def test_a_public_key_that_is_not_there_is_found_before_any_work(stage, tmp_path):
    signing = {"public_key": str(tmp_path / "none.pub")}
    good = {**GOOD, "source": "digits", "backbone": "SmallConvNet", "weights": "random", "signing": signing}
    good |= {"store": str(tmp_path / "store"), "registry": str(tmp_path / "registry")}
    good.pop("worker")
    changed = {"parameters": good} if stage == "plan" else {"signing": signing}
    with pytest.raises(ConfigError, match=r"signing\.public_key: received .*none\.pub'; there is no such file"):
        call(stage, tmp_path, **changed)
    assert list(tmp_path.iterdir()) == []
