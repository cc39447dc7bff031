"""What is stored below an address, and errors of storage."""

from frostline import storage


def names(uri):
    return [item.uri.removeprefix(f"{uri}/") for item in storage.list_files(uri)]


def one_line(caught, *parts):
    text = str(caught.value)
    assert "\n" not in text
    assert all(str(part) in text for part in parts), text
