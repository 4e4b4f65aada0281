"""Pipelines of a target, their weights, and what of them a lock depends on."""

from hps.config.chosen import chosen_pipelines, chosen_weights, unused_weights
from hps.config.meaning import inputs
from tests.config.documents import config

TABLES = """
[targets.gpu]
pipelines = ["ocr"]
delivery = "layer"
[targets.gpu.debian]
source = "bookworm"
packages = []
[weights.det]
url = "https://example.org/det.tar"
licence = "MIT"
[weights.rec]
directory = "rec"
[weights.unused]
directory = "unused"
[pipelines.ocr]
weights = ["rec", "det"]
[pipelines.other]
modules = { Mod = "det" }
"""


def changed(old: str, new: str, target: str = "cpu") -> set[str]:
    assert old in TABLES
    both = [inputs(config(text), target, ()) for text in (TABLES, TABLES.replace(old, new))]
    return {key for key, _ in set(both[0]) ^ set(both[1])}


def test_a_target_is_for_all_pipelines_unless_it_says_which() -> None:
    parsed = config(TABLES)
    told = [(one.name, one.delivery, one.weights) for one in chosen_pipelines(parsed, "cpu")]
    assert told == [("ocr", "mount", ("det", "rec")), ("other", "mount", ("det",))]
    (ocr,) = chosen_pipelines(parsed, "gpu")
    assert (ocr.name, ocr.delivery) == ("ocr", "layer")
    assert chosen_weights(parsed, "cpu") == ("det", "rec")


def test_only_what_is_used_counts() -> None:
    assert changed('"unused"', '"elsewhere"') == set()
    assert changed("Mod =", "Module =", "gpu") == set()
    assert changed("Mod =", "Module =") == {"pipelines.other"}
    assert changed('["rec", "det"]', '["det", "rec"]') == set()
    assert changed("det.tar", "det2.tar") == {"weights.det"}
    assert changed('"MIT"', '"ISC"') == {"weights.det.licence"}
    assert changed('"layer"', '"mount"', "gpu") == {"targets.gpu.delivery.ocr"}
    digest = f'sha256 = "{"0" * 64}"\n'
    with_digest = TABLES.replace("[weights.rec]", f"{digest}[weights.rec]")
    moved = with_digest.replace("example.org", "example.com")
    assert inputs(config(with_digest), "cpu", ()) == inputs(config(moved), "cpu", ())


def test_the_files_of_a_folder_count_one_by_one() -> None:
    parsed, place = config(TABLES), ("weights", "rec", "files")
    before = inputs(parsed, "cpu", (), {place: {"a": "1", "b.yml": "2"}})
    after = inputs(parsed, "cpu", (), {place: {"a": "1", "b.yml": "3"}})
    assert {key for key, _ in set(before) ^ set(after)} == {'weights.rec.files."b.yml"'}


def test_weights_that_nothing_locks() -> None:
    assert unused_weights(config(TABLES)) == ("unused",)
    used = TABLES.replace('weights = ["rec", "det"]', 'weights = ["rec", "det", "unused"]')
    assert unused_weights(config(used)) == ()
    # A pipeline that no target is for does not help them.
    nobody = used.replace('pipelines = ["ocr"]', "pipelines = []")
    assert unused_weights(config(nobody)) == ()  # cpu is for all
    parsed = config(nobody)
    gpu = parsed.model_copy(update={"targets": {"gpu": parsed.targets["gpu"]}})
    assert unused_weights(gpu) == ("det", "rec", "unused")
    assert unused_weights(config("")) == ()
