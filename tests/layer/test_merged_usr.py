"""Merged /usr as a function of paths."""

import pytest

from hps.layer.merged_usr import link_entries, merged


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("bin/sh", "usr/bin/sh"),
        ("bin", "usr/bin"),
        ("lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
        ("lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        ("var/run/x/y", "run/x/y"),
        ("var/lock", "run/lock"),
        ("usr/bin/sh", "usr/bin/sh"),
        ("library/x", "library/x"),
        ("opt/bin/x", "opt/bin/x"),
        ("var/lib/x", "var/lib/x"),
    ],
)
def test_places(path: str, place: str) -> None:
    assert merged(path) == place
    assert merged(merged(path)) == place


def test_links_exist_for_what_exists() -> None:
    assert [entry.path for entry in link_entries([], "x")] == ["bin", "lib", "sbin"]
    links = {entry.path: entry.link for entry in link_entries(["usr/lib64", "run"], "x")}
    assert links == {
        "bin": "usr/bin", "lib": "usr/lib", "sbin": "usr/sbin", "lib64": "usr/lib64",
        "var/run": "/run",
    }  # fmt: skip
