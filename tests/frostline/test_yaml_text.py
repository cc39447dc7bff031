"""What people type as YAML: plain values are read, and everything else is one line, before it costs anything."""

import datetime
import json
import os

import pytest

from frostline import yaml_text
from frostline.errors import ConfigError

FULL = yaml_text.LARGEST


def value(text):
    return yaml_text.parse(text, "x").value


def refusal(text, **options):
    with pytest.raises(ConfigError) as caught:
        yaml_text.parse(text, "x", **options)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 1000
    assert caught.value.exit_code == 2
    return message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("# nothing\n", None),
        ("a: 1\nb: [x, 'yes', 1.5, null, true]\n", {"a": 1, "b": ["x", "yes", 1.5, None, True]}),
        ('{"a": {"b": [1, "two"]}}', {"a": {"b": [1, "two"]}}),
        ("a: 2024-01-31\n", {"a": datetime.date(2024, 1, 31)}),
        ("a: caf\u00e9 \U0001f600\r\nb: |\n  two\n  lines\n", {"a": "caf\u00e9 \U0001f600", "b": "two\nlines\n"}),
        ("'3': a\n'<<': b\n'*c': d\n", {"3": "a", "<<": "b", "*c": "d"}),
        ("---\na: 1\n...\n", {"a": 1}),
    ],
)
def test_plain_values_are_read(text, expected):
    assert value(text) == expected


def test_every_json_of_plain_values_is_read():
    document = {"s": 'a "b" \u2028', "n": [0, -1, 2.5], "t": True, "o": None, "d": {"e": []}}
    assert value(json.dumps(document)) == document
    assert value(json.dumps(document, indent=2)) == document


BOMB = "a: &a [x, x]\n" + "".join(
    f"b{level}: &b{level} [{', '.join([f'*b{level - 1}' if level else '*a'] * 9)}]\n" for level in range(30)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "x: received '&a'; line 1: write the value out; anchors and aliases are not read"),
        ("a: 1\nb: &b [*b]\n", "received '&b'; line 2: write the value out"),
        ("a: *b\n", "received '*b'; line 1: write the value out"),
        ("&k a: 1\n", "received '&k'"),
        ("a: 1\nb: 2\na: 3\n", "x: received 'a'; line 3: this key is set twice; remove one"),
        ("g:\n  m: 1\n  'm': 2\n", "received 'm'; line 3: this key is set twice"),
        ("[{a: 1, a: 1}]", "received 'a'; line 1: this key is set twice"),
        ("a: {b: 1}\n<<: {c: 2}\n", "received '<<'; line 2: write the keys out; merge keys are not read"),
        ("a: <<\n", "received '<<'; line 1: quote it"),
        ("a: =\n", "received '='; line 1: quote it"),
        ("3: a\n", "received '3'; line 1: expected text as a key; quote it"),
        ("b:\n  yes: a\n", "received 'yes'; line 2: expected text as a key; quote it"),
        ("~: a\n", "expected text as a key"),
        ("null: a\n", "expected text as a key"),
        ("? " * 60_000 + "1", "lists and mappings inside each other"),
        ("2024-01-31: a\n", "received '2024-01-31'; line 1: expected text as a key"),
        ("2024-01-31 10:00:00: a\n", "expected text as a key"),
        ("1.5: a\n", "expected text as a key"),
        ("9" * 900 + ": a\n", "expected text as a key"),
        ("=: a\n", "expected text as a key"),
        ("? [a]\n: 1\n", "received 'a list or mapping'; line 1: expected text as a key"),
        ("{{a: 1}: 2}", "received 'a list or mapping'; line 1: expected text as a key"),
        ("a: !!python/object/apply:os.system [ls]", "'!!python/object/apply:os.system'; line 1: leave the tag out"),
        ("a: !!binary aGk=", "received '!!binary'"),
        ("a: !!set {b}", "received '!!set'"),
        ("a: !!omap [b: 1]", "received '!!omap'"),
        ("a: !!int abc", "received '!!int'"),
        ("a: !!bool abc", "received '!!bool'"),
        ("!!str a: 1", "received '!!str'"),
        ("a: !own b", "received '!own'"),
        ("a: ! b", "received '!'"),
        ("a: 1\n---\na: 2\n", "received '---'; line 2: expected one document"),
        ("---\n---\n", "line 2: expected one document"),
        ("a: 1\nb: " + "9" * 5000, "line 2: expected a number of at most 100 characters"),
        ("a: -0x" + "f" * 5000, "expected a number of at most 100 characters"),
        ("a: 0b" + "1" * 5000, "expected a number of at most 100 characters"),
        ("a: 1" + ":1" * 50_000, "expected a number of at most 100 characters"),
        ("a: 1" + ":1" * 50_000 + ".5", "expected a number of at most 100 characters"),
        ("a: 1." + "3" * 5000, "expected a number of at most 100 characters"),
        ("a: 0b_\n", "received '0b_'; line 1: quote it"),
        ("a: 0x_\n", "received '0x_'; line 1: quote it"),
        ("a: 2024-99-99\n", "received '2024-99-99'; line 1: quote it; YAML would read"),
        ("a: 2024-01-01T00:00:00+99:99\n", "line 1: quote it"),
        ("a: b\x01\n", "received '\\x01'; line 1: expected no control characters"),
        ("a: 1\n\nb: \x00\n", "received '\\x00'; line 3: expected no control characters"),
        ("a: \x1b[31m\n", "expected no control characters"),
        ("a: \ud800\n", "expected no control characters"),
        ('a: "b\\0"\n', "received 'b\\x00'; line 1: expected no control characters"),
        ('"a\\e": b\n', "received 'a\\x1b'; line 1: expected no control characters"),
        ('a: "\\ud800"\n', "line 1: expected"),
        ('a: "\\U00110000"\n', "line 1: expected valid YAML"),
        ('a: "\\UFFFFFFFF"\n', "line 1: expected valid YAML"),
        ("a: 1\nb: [\n", "line 3: expected valid YAML"),
        ("a:\n\tb: 1\n", "line 2: expected valid YAML"),
        ("%YAML 9.9\n---\na: 1\n", "expected valid YAML"),
        ("a: b: c\n", "expected valid YAML"),
        ("a" * (FULL + 1), "line 1: expected at most 131 kB of YAML"),
    ],
)  # fmt: skip
def test_everything_else_is_refused_in_one_line_with_its_line(text, message):
    assert message in refusal(text)


@pytest.mark.parametrize(("opened", "closed"), [
    ("[", "]"), ("{a: ", "}"), ("- ", ""), ("[\n", "]"), ("[{a: ", "}]"),
])  # fmt: skip
def test_what_is_too_deep_is_refused_before_a_value_is_made(opened, closed):
    a_level = opened.count("[") + opened.count("{") or 1
    fits = yaml_text.DEEPEST // a_level
    assert value(opened * fits + "1" + closed * fits)
    assert "lists and mappings inside each other" in refusal(opened * (fits + 1) + "1" + closed * (fits + 1))
    for text in (opened * 30_000)[:FULL], (opened * 20_000 + closed * 20_000)[:FULL]:
        refusal(text)


def test_a_text_of_the_largest_size_is_read():
    names = ["n"] * (FULL // 2 - 1)
    assert value(f"[{','.join(names)}]") == names


def test_of_an_option_the_whole_value_is_named_and_what_its_command_expects():
    assert refusal("[", whole="k=[", invalid="the value is not valid YAML") == (
        "x: received 'k=['; the value is not valid YAML"
    )
    assert refusal("*a", whole="k=*a") == "x: received 'k=*a'; write the value out; anchors and aliases are not read"


def unread(path):
    with pytest.raises(ConfigError) as caught:
        yaml_text.read(path)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"source: caf\xe9\n", "received b'\\xe9'; line 1: expected valid YAML in UTF-8"),
        (b"a: 1\n\nb: \xe2\x82", "received b'\\xe2'; line 3: expected valid YAML in UTF-8"),
        ("epochs: 3\n".encode("utf-16"), "expected valid YAML in UTF-8"),
        (b"a: 1\na: 2\n", "run.yaml: received 'a'; line 2: this key is set twice"),
        (b"# comment\n" * 10_000_000, "expected a readable YAML file (it has more than 131 kB)"),
        (b"\0" * (FULL + 1), "expected a readable YAML file (it has more than 131 kB)"),
        ("\u00e9".encode() * (FULL // 2) + b"\xc3", "expected a readable YAML file (it has more than 131 kB)"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, data, message):
    path = tmp_path / "run.yaml"
    path.write_bytes(data)
    assert message in unread(path)


@pytest.mark.parametrize("data", [b"\xef\xbb\xbfepochs: 3\n", b"epochs: 3\r\n", b"epochs: 3"])
def test_a_file_may_have_a_byte_order_mark_and_any_line_ends(tmp_path, data):
    path = tmp_path / "run.yaml"
    path.write_bytes(data)
    assert yaml_text.read(path).value == {"epochs": 3}


def test_only_a_regular_file_is_read_and_nothing_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "(it is a directory, a pipe or a device)" in unread(tmp_path / "pipe")
    assert "(it is a directory, a pipe or a device)" in unread(yaml_text.Path("/dev/zero"))
    assert "(it is a directory, a pipe or a device)" in unread(tmp_path)
    assert "(Too many levels of symbolic links)" in unread(tmp_path / "loop")
    assert "(No such file or directory)" in unread(tmp_path / "none.yaml")
    assert "(File name too long)" in unread(tmp_path / ("n" * 300))
    assert "(embedded null byte)" in unread(tmp_path / "a\0b")


def test_a_link_to_a_file_is_read(tmp_path):
    (tmp_path / "run.yaml").write_text("epochs: 3\n")
    (tmp_path / "link").symlink_to("run.yaml")
    assert yaml_text.read(tmp_path / "link").value == {"epochs": 3}
