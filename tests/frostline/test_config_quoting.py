"""Names that YAML takes for something else: one line says to quote them, and where."""

import pytest

from frostline.config import load
from frostline.errors import ConfigError


def refusal(tmp_path, text, overrides=()):
    path = tmp_path / "run.yaml"
    path.write_text(f"model_name: digits\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("classes", "value", "line"), [
    ("[yes, no]", "yes", 4),
    ("[cat, off]", "off", 4),
    ("[1, 2, 10]", "1", 4),
    ("\n    - cat\n    - 007", "007", 6),
    ("[a, null]", "null", 4),
    ("[a, ~]", "~", 4),
    ("[a, 2024-01-31]", "2024-01-31", 4),
    ("[a, 12:30]", "12:30", 4),
    ("[a, 1.5]", "1.5", 4),
    ("[a, 1_000]", "1_000", 4),
    ("[a, .inf]", ".inf", 4),
])  # fmt: skip
def test_class_names_without_quotes(tmp_path, classes, value, line):
    message = refusal(tmp_path, f"source: digits\ndata:\n  classes: {classes}")
    assert f'received {value!r}; line {line}: quote it: "{value}"' in message
    assert message.startswith("data.classes.")


@pytest.mark.parametrize("classes", ["[1e3, cat]", "['yes', \"10\"]", "[y, n]"])
def test_class_names_that_yaml_takes_for_text(tmp_path, classes):
    path = tmp_path / "run.yaml"
    path.write_text(f"model_name: digits\nsource: digits\ndata:\n  classes: {classes}\n")
    assert all(isinstance(label, str) for label in load(path).data.classes)


def test_other_fields_of_text(tmp_path):
    assert "source: received '2024'; line 2: quote it: \"2024\"; YAML reads it as 2024" in refusal(
        tmp_path, "source: 2024"
    )


def test_an_override_has_no_line(tmp_path):
    message = refusal(tmp_path, "source: digits\ndata: {classes: [cat, dog]}", ["data.classes=[yes, no]"])
    assert message == "data.classes.0: received True; expected text; in YAML, quote it"


def test_other_mistakes_keep_their_message(tmp_path):
    assert "expected a list" in refusal(tmp_path, "source: digits\ndata: {classes: yes}")
