"""A run's file and values of --set that are hostile or odd: one line, whatever they are, before anything is done."""

import pytest

from frostline.config import RunConfig, checked, load
from frostline.errors import ConfigError

NESTED = "[" * 500 + "]" * 500
BOMB = "[&a [1, 1], &b [*a, *a, *a, *a], &c [*b, *b, *b, *b], [*c, *c]]"


@pytest.fixture
def refusal(tmp_path):
    def refusal(text, *overrides):
        path = tmp_path / "run.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(ConfigError) as caught:
            load(path, overrides)
        message = str(caught.value)
        assert message.isprintable()
        assert len(message) < 1500
        assert caught.value.exit_code == 2
        return message

    return refusal


VALUES = [  # of a key, in a file and behind --set
    ("epochs", "2024-01-31", "epochs: received datetime.date(2024, 1, 31); input should be a valid integer"),
    ("epochs", "2024-01-31T10:00:00Z", "epochs: received datetime.datetime(2024"),
    ("epochs", "9" * 99, "input should be less than or equal to 2147483647"),
    ("epochs", "9" * 5000, "expected a number of at most 100 characters"),
    ("seed", "1:1:1:1:1:1:1", "input should be less than or equal to 2147483647"),
    ("learning_rate", "1e999", "learning_rate: received inf; input should be a finite number"),
    ("learning_rate", "1.0e+999", "learning_rate: received inf; input should be a finite number"),
    ("learning_rate", ".nan", "learning_rate: received nan; input should be a finite number"),
    ("learning_rate", "\u0661e\u0661", "learning_rate: received '\u0661e\u0661'; input should be a valid number"),
    ("cpu", "'\u0664'", "cpu: received '\u0664'; expected a number of CPU cores"),
    ("accelerator_count", "'\u0664'", "accelerator_count: received '\u0664'; string should match pattern"),
    ("source", '"a\\0b"', "expected no control characters"),
    ("data", NESTED, "expected at most 50 lists and mappings inside each other"),
    ("data", "[" * 100_000, "YAML"),
    ("data", BOMB, "anchors and aliases are not read"),
    ("data", "&a [*a]", "anchors and aliases are not read"),
    ("data", "{layout: auto, layout: classes}", "this key is set twice"),
    ("data", "{<<: {layout: auto}}", "merge keys are not read"),
    ("data", "{2024-01-31: 1}", "expected text as a key"),
    ("data", "!!python/object/apply:os.system [ls]", "tags are not read"),
    ("gate", "!!set {margin}", "tags are not read"),
    ("image", "!!binary aGk=", "tags are not read"),
    ("tolerations", "[{key: 2024-01-31}]", "tolerations.0.key: received datetime.date(2024, 1, 31)"),
    ("tolerations", "[{tolerationSeconds: .inf}]", "received inf; input should be a finite number"),
    ("node_selector", '{"a": "b\\0c"}', "expected no control characters"),
    ("data", "{classes: [" + "1, " * 30_000 + "]}", "data.classes.0: received"),
    ("freeze", "{match: '" + "(" * 50_000 + "'}", "is not a regular expression"),
    ("source", "[" + "1, " * 30_000 + "]", "source: received [1, 1, 1"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "message"), VALUES)
def test_a_value_of_a_file_and_of_set_is_refused_in_one_line(refusal, key, value, message):
    assert message in refusal(f"{key}: {value}\n")
    assert message in refusal("model_name: toy\n", f"{key}={value}")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (".".join("a" * 100_000) + "=1", "--set: received 'a.a.a"),
        (".".join("a" * 50) + "=1", "a: received {'a': {'a'"),
        (".".join("a" * 49) + "=" + "[" * 50 + "]" * 50, "a: received {'a': {'a'"),
        ("k" * 100_000 + "=1", "unknown key; known keys are model_name"),
        ("a\nb\x1b[31m=1", "a\\nb\\x1b[31m: received 1; unknown key"),
        ("\udcff=1", "received '\\udcff'"),
        ("source=\udcff", "--set: received 'source=\\udcff'; expected no control characters"),
        ("epochs=3\nepochs: 4", "the value is not valid YAML"),
        ("epochs=3\n---\n4", "--set: received 'epochs=3\\n---\\n4'; expected one document"),
    ],
)
def test_other_odd_overrides_are_refused_in_one_line(refusal, override, message):
    assert message in refusal("model_name: toy\n", override)


def test_a_key_that_is_set_twice_is_named_with_its_line_and_file(refusal):
    message = refusal("epochs: 3\nseed: 1\n\nepochs: 30\n")
    assert message.endswith("run.yaml: received 'epochs'; line 4: this key is set twice; remove one")


@pytest.mark.parametrize("tolerations", [
    [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 300}],
    [{"key": "gpu", "operator": "Equal", "value": "true", "tolerationSeconds": 300.0}],
])  # fmt: skip
def test_tolerations_are_any_json(tolerations):
    assert checked(tolerations=tolerations).arguments()["tolerations"] == tolerations


def test_some_parameters_are_checked_as_all_of_them_are():
    assert checked(epochs=3.0, gate={"margin": 0.5}) == RunConfig(epochs=3, gate={"margin": 0.5})
    assert type(checked(epochs=3.0).epochs) is int
    for parameters in ({"epochs": 0}, {"epochs": None}, {"epochs": True}, {"epochs": "3"}, {"epoch": 3}):
        with pytest.raises(ConfigError, match=f"^{next(iter(parameters))}: received "):
            checked(**parameters)


@pytest.mark.parametrize("value", [10**5000, -(10**5000), {"a": 10**5000}, 10.0**300, float("nan")],
                         ids=["large", "negative", "inside", "float", "nan"])  # fmt: skip
@pytest.mark.parametrize("field", ["epochs", "learning_rate", "source", "gate", "tolerations", "node_selector"])
def test_numbers_that_python_does_not_print_are_refused_in_one_line(field, value):
    if (field, value) != ("learning_rate", 10.0**300):
        with pytest.raises(ConfigError) as caught:
            checked(**{field: value})
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1500
