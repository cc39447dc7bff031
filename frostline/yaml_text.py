"""YAML and JSON that people type: a run's file, the values of --set, the policy of `frostline freeze`.

YAML allows much that a configuration has no use for, and that is dangerous or a mistake: aliases that make terabytes of
a few lines, tags that name Python types, keys that are set twice. Whatever is refused is refused in one line. What is
accepted costs less than a second, since its size and depth are limited before any value is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml
from yaml.constructor import SafeConstructor
from yaml.reader import Reader

from frostline.errors import ConfigError, NotRegular
from frostline.files import open_regular
from frostline.text import size_words

LARGEST = 128 * 1024  # characters or bytes, as in an argument of Linux; thousands of class names fit
DEEPEST = 50  # lists and mappings inside each other; a configuration needs six
_LONGEST_NUMBER = 100  # characters; Python converts no more than 4300 digits, and PyYAML takes hours for 1:1:1:1:...
_TEXT_TAG = "tag:yaml.org,2002:str"
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml if PyYAML has it: seven times faster
_constructor = SafeConstructor()  # of numbers, dates and other scalars, for which it keeps no state


class Document(NamedTuple):
    """What was read: the value, and the YAML node that it was made from; None for an empty text."""

    value: Any
    node: yaml.Node | None


class _Refused(Exception):
    def __init__(self, line: int, received: object, expected: str) -> None:
        super().__init__(expected)
        self.line, self.received, self.expected = line, received, expected


def read(path: Path) -> Document:
    """Read a YAML file.

    Raises:
        ConfigError: the file cannot be read, is no regular file, is too large or not UTF-8; or as `parse`.
    """
    try:
        data = _bytes(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(str(path), str(path), f"expected a readable YAML file ({reason})") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        received = data[error.start : error.start + 1]
        raise ConfigError(str(path), received, f"line {line}: expected valid YAML in UTF-8") from None
    return parse(text, str(path))


def _bytes(path: Path) -> bytes:
    """The content of a regular file of a limited size."""
    try:
        with open_regular(path) as file:
            data = file.read(LARGEST + 1)
    except NotRegular:
        raise ValueError("it is a directory, a pipe or a device") from None
    if len(data) > LARGEST:
        raise ValueError(f"it has more than {size_words(LARGEST)}")
    return data


def parse(text: str, origin: str, *, whole: str | None = None, invalid: str = "expected valid YAML") -> Document:
    """Parse one YAML document, of which JSON is a part.

    Args:
        text: the document; empty gives None.
        origin: the file or option, for messages.
        whole: what messages say was received, instead of the wrong part and its line.
        invalid: what messages say of a text that is no YAML.

    Returns:
        The value, of None, bool, int, float, str, date, datetime, list and dict with text as keys; and its node.

    Raises:
        ConfigError: it is no YAML, too large or too deep; or has aliases, tags, several documents, control characters,
            a key that is set twice or is not text, or a value that YAML takes for a number or date and that is none.
    """
    try:
        _require_plain(text)
        node = yaml.compose(text, Loader=_Loader)
        return Document(None if node is None else value_of(node), node)
    except _Refused as error:
        refused = error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        refused = _Refused(line, error.problem, invalid)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # without libyaml, of an escape such as \UFFFFFFFF
        refused = _Refused(1, str(error), invalid)
    if whole is not None:
        raise ConfigError(origin, whole, refused.expected)
    raise ConfigError(origin, refused.received, f"line {refused.line}: {refused.expected}")


def _require_plain(text: str) -> None:
    """Check the text without making values of it: it may be hostile, and what it stands for may not fit into memory."""
    if len(text) > LARGEST:
        raise _Refused(1, text[:40], f"expected at most {size_words(LARGEST)} of YAML")
    if found := Reader.NON_PRINTABLE.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise _Refused(line, found.group(), "expected no control characters")
    depth = documents = 0
    event: Any
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None) is not None:  # of an alias, too
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            raise _Refused(line, f"{sign}{event.anchor}", "write the value out; anchors and aliases are not read")
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _Refused(line, tag, "leave the tag out and quote text; tags are not read")
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if documents > 1:
            raise _Refused(line, "---", "expected one document")
        if depth > DEEPEST:
            raise _Refused(line, depth, f"expected at most {DEEPEST} lists and mappings inside each other")


def value_of(node: yaml.Node) -> Any:
    """The value of a node of `Document`."""
    if isinstance(node, yaml.MappingNode):
        return _mapping(node)
    if isinstance(node, yaml.SequenceNode):
        return [value_of(item) for item in node.value]
    return _scalar(node)


def _mapping(node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            _refuse(key, "write the keys out; merge keys are not read")
        if key.tag != _TEXT_TAG:
            _refuse(key, "expected text as a key" + ("; quote it" if isinstance(key, yaml.ScalarNode) else ""))
        name = _scalar(key)
        if name in found:
            _refuse(key, "this key is set twice; remove one")
        found[name] = value_of(value)
    return found


def _scalar(node: yaml.Node) -> Any:
    if Reader.NON_PRINTABLE.search(node.value):
        _refuse(node, "expected no control characters")
    if node.tag == _TEXT_TAG:
        return node.value
    if node.tag in _NUMBER_TAGS and len(node.value) > _LONGEST_NUMBER:
        _refuse(node, f"expected a number of at most {_LONGEST_NUMBER} characters; quote it if it is text")
    try:
        return SafeConstructor.yaml_constructors[node.tag](_constructor, node)
    except (ValueError, KeyError):
        _refuse(node, "quote it; YAML would read a number, a date or a sign of its own")


def _refuse(node: yaml.Node, expected: str) -> NoReturn:
    mark: Any = node.start_mark
    received = node.value if isinstance(node, yaml.ScalarNode) else "a list or mapping"
    raise _Refused(mark.line + 1, received, expected)
