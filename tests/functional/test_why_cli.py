"""`hps why`: every path of an image leads back to who asked for it."""

import tarfile

import pytest

from hps.build.finding import find
from hps.build.reasons import reasons
from tests.build.laboratory import Laboratory

pytestmark = pytest.mark.network


def test_every_path_of_the_image_is_explained(lab: Laboratory) -> None:
    """What the tars of the layout hold is what the command knows, and each has a reason."""
    bench, built = lab.open(), lab.built()
    found = {one.path: one for one in find(bench, built, "*")}
    in_tars: dict[str, str] = {}
    for layer in built.layers:
        with tarfile.open(lab.layout / "blobs" / "sha256" / layer.blob.digest.hex) as tar:
            in_tars |= {f"/{member.name.rstrip('/')}": layer.name for member in tar}
    assert found.keys() == in_tars.keys()
    assert len(found) > 1000
    config, locked = bench.project.target("cpu"), lab.target
    for path, origin in found.items():
        assert origin.layer == in_tars[path]
        because = reasons(locked, config, origin.owner, origin.layer)
        assert because, path
        assert because[-1].startswith(("asked for by", "made by hps")), (path, because)


ANSWERS = [
    (
        "/usr/bin/python3.11",
        "debian",
        ["Debian package python3.11-minimal", "by python3.11", "by hps"],
    ),
    (
        "/usr/local/lib/python3.11/dist-packages/base.py",
        "base",
        ["base 1.0", "by app", "by app.in"],
    ),
    ("/usr/local/lib/python3.11/dist-packages/crafted.py", "python", ["crafted 1.0", "by app.in"]),
    ("/opt/tool/bin/tool", "tool", ["archive tool.tar.gz, sha256:", "by hps.toml"]),
    ("/models/weights.bin", "files", ["file weights.bin, sha256:", "by hps.toml"]),
    ("/srv/main.py", "trees", ["tree server of this project", "by hps.toml"]),
    ("/etc/ld.so.cache", "system", ["Debian package libc-bin", "by hps.toml"]),
    ("/opt", "tool", ["made by hps"]),
]


@pytest.mark.parametrize(("path", "layer", "said"), ANSWERS)
def test_the_answer_for_a_file(lab: Laboratory, path: str, layer: str, said: list[str]) -> None:
    lines = lab.run("why", path).out.splitlines()
    assert lines[0].startswith(f"{path} (")
    assert lines[1] == f"  layer {layer}"
    for number, words in enumerate(said, 2):
        assert words in lines[number]
    (told,) = lab.run("why", path, "--target", "cpu", "--json").json
    assert (told["path"], told["layer"]) == (path, layer)
    assert len(told["because"]) == len(lines) - 2


def test_a_pattern_finds_many_and_links_say_where_they_lead(lab: Laboratory) -> None:
    out = lab.run("why", "*/libc.so*").out
    assert "/usr/lib/x86_64-linux-gnu/libc.so.6 (" in out
    assert "/bin -> usr/bin (symlink)" in lab.run("why", "/bin").out


def test_a_path_that_is_not_there(lab: Laboratory) -> None:
    done = lab.run("why", "/no/such", code=2)
    assert "the image cpu has no path /no/such" in done.err
    assert done.out == ""


def test_a_damaged_index_is_made_again(lab: Laboratory) -> None:
    digest = lab.built().layers[2].index.digest
    lab.damage(digest)
    done = lab.run("why", "/opt/tool/bin/tool")
    assert "  layer tool" in done.out
    assert f"the blob {digest} in the store is damaged" in done.err
