"""Models that are released as one: every way in which they are not is refused, with its reason."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hps.digest import Digest
from hps.model.pack import Model, Terms, sign_models
from hps.model.policy import Known, ModelPolicy, Trust
from hps.model.probe import Probe
from hps.monitor.examination import Bar, Examined, RefusedError, release_in
from hps.monitor.group import examine_group
from hps.monitor.look import Look
from hps.monitor.pulled import Pulled
from hps.trust.file_key import FileKey
from tests.model import releases
from tests.monitor.looked_after import LookedAfter
from tests.monitor.test_logs import restored
from tests.monitor.test_runner import release

__all__ = ["restored"]
MEMBERS = ("det", "rec")
NOTHING = Pulled((), Look(None, ()), Look(None, ()), 0)
PROBE = Probe.from_file(
    b'{"inputs": {"x": {"datatype": "INT32", "shape": [1], "data": [1]}},'
    b' "outputs": {"y": {"datatype": "INT32", "shape": [1], "data": [2]}}}'
)


@dataclass
class Publisher:
    """Releases groups into a folder.

    Args:
        folder: which holds the members.
    """

    folder: Path
    key: FileKey = field(default_factory=lambda: releases.KEY)

    def release(
        self,
        sequence: int,
        *,
        members: Sequence[str] = MEMBERS,
        group: str | None = "ocr",
        **terms: Any,
    ) -> Path:
        """Sign members whose files say which release they are of."""
        given = {"channel": "production", "issued": releases.ISSUED, "expires": releases.EXPIRES}
        models = [self._model(member, sequence) for member in members]
        signed = Terms(**{"sequence": sequence, **given, **terms})
        sign_models(models, signed, releases.signer(self.key), group=group)
        return self.folder

    def _model(self, member: str, sequence: int) -> Model:
        folder = self.folder / member
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "weights").write_text(f"{member} {sequence}\n")
        return Model(member, folder, PROBE if member == "rec" else None)


def bar(known: Known | None = None, **changed: Any) -> Bar:
    given = {"name": "ocr", **changed}
    return Bar(releases.policy(**given), known or Known(), releases.NOW)


def examined(tree: Path, by: Bar | None = None, members: Sequence[str] = MEMBERS) -> Examined:
    return examine_group(tree, NOTHING, by or bar(), members)


def refused(tree: Path, by: Bar | None = None, members: Sequence[str] = MEMBERS) -> tuple[str, str]:
    with pytest.raises(RefusedError) as caught:
        examined(tree, by, members)
    return str(caught.value.reason), caught.value.message


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "group")


def test_a_group_that_was_released_as_one_is_let_in(publisher: Publisher) -> None:
    found = examined(publisher.release(7, version="2026.11"))
    assert (found.row.name, found.row.channel, found.row.sequence) == ("ocr", "production", 7)
    assert (found.row.version, found.row.verified) == ("2026.11", "signature")
    assert (found.known.sequence, str(found.known.identity)) == (7, found.row.digest)
    assert found.known.floor == releases.ISSUED


def test_the_same_release_is_let_in_again_and_another_of_its_number_is_not(
    publisher: Publisher,
) -> None:
    known = examined(publisher.release(7)).known
    assert examined(publisher.folder, bar(known)).known == known
    (publisher.folder / "det" / "more").write_text("more")
    sign = [Model(one, publisher.folder / one) for one in MEMBERS]
    terms = Terms("production", 7, releases.ISSUED, releases.EXPIRES)
    sign_models(sign, terms, releases.signer(), group="ocr")
    assert refused(publisher.folder, bar(known))[0] == "equivocation"


def test_an_older_release_is_a_rollback_of_every_member(publisher: Publisher) -> None:
    known = examined(publisher.release(7)).known
    reason, text = refused(publisher.release(6), bar(known))
    assert reason == "rollback"
    assert text.startswith("det: ")
    assert examined(publisher.release(8), bar(known)).known.sequence == 8


def test_members_of_different_releases_do_not_go_together(
    publisher: Publisher, tmp_path: Path
) -> None:
    other = Publisher(tmp_path / "other").release(8)
    publisher.release(7)
    shutil.rmtree(publisher.folder / "rec")
    shutil.copytree(other / "rec", publisher.folder / "rec")
    reason, text = refused(publisher.folder)
    assert reason == "group-incomplete"
    assert "det: the group ocr needs another release of rec" in text


def test_members_that_were_released_alone_are_no_group(publisher: Publisher) -> None:
    for member in MEMBERS:
        publisher.release(7, members=[member], group=None)
    reason, text = refused(publisher.folder)
    assert (reason, text) == ("group-incomplete", "det was not released as one of a group")


def test_another_group_is_another_model(publisher: Publisher) -> None:
    assert refused(publisher.release(7, group="layout"))[0] == "wrong-model"


def test_a_member_under_the_name_of_another_is_refused(publisher: Publisher) -> None:
    publisher.release(7)
    (publisher.folder / "det").rename(publisher.folder / "old")
    (publisher.folder / "rec").rename(publisher.folder / "det")
    (publisher.folder / "old").rename(publisher.folder / "rec")
    assert refused(publisher.folder)[0] == "wrong-model"


def test_a_group_with_more_members_than_this_host_has_is_refused(publisher: Publisher) -> None:
    publisher.release(7, members=("det", "rec", "cls"))
    assert refused(publisher.folder) == (
        "set-mismatch",
        "cls: it is there, and is no member of the group",
    )
    shutil.rmtree(publisher.folder / "cls")
    reason, text = refused(publisher.folder)
    assert reason == "group-incomplete"
    assert "cls" in text


def test_a_missing_member_is_told(publisher: Publisher) -> None:
    publisher.release(7)
    shutil.rmtree(publisher.folder / "rec")
    assert refused(publisher.folder) == ("group-incomplete", "it has no folder rec")


@pytest.mark.parametrize("name", ["run.sh", "SHA256SUMS", "model.sig", ".hidden"])
def test_what_lies_beside_the_members_is_refused(publisher: Publisher, name: str) -> None:
    publisher.release(7)
    (publisher.folder / name).write_text("x")
    assert refused(publisher.folder)[0] == "set-mismatch"


@pytest.mark.parametrize("member", MEMBERS)
def test_a_changed_byte_of_any_member_is_found(publisher: Publisher, member: str) -> None:
    publisher.release(7)
    (publisher.folder / member / "weights").write_text(f"{member} 9\n")
    reason, text = refused(publisher.folder)
    assert reason == "digest-mismatch"
    assert text.startswith(f"{member}/weights: ")


@pytest.mark.parametrize("member", MEMBERS)
def test_every_member_is_signed_by_somebody_who_is_trusted(
    publisher: Publisher, tmp_path: Path, member: str
) -> None:
    publisher.release(7)
    stranger = Publisher(tmp_path / "other", releases.STRANGER).release(7)
    shutil.copy(stranger / member / "model.sig", publisher.folder / member / "model.sig")
    assert refused(publisher.folder)[0] == "untrusted-key"
    (publisher.folder / member / "model.sig").unlink()
    assert refused(publisher.folder)[0] == "unsigned"


def test_an_expired_group_is_refused(publisher: Publisher) -> None:
    late = replace(bar(), now=releases.EXPIRES + timedelta(days=1))
    assert refused(publisher.release(7), late)[0] == "expired"


def test_without_signatures_the_folder_is_held_against_its_checksums(publisher: Publisher) -> None:
    publisher.release(7)
    for member in MEMBERS:
        (publisher.folder / member / "model.sig").unlink()
    by = bar(trust=Trust.CHECKSUMS)
    assert refused(publisher.folder, by)[0] == "no-checksums"
    lines = [
        f"{Digest.of((publisher.folder / one / 'weights').read_bytes()).hex}  {one}/weights"
        for one in MEMBERS
    ]
    (publisher.folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    assert examined(publisher.folder, by).row.verified == "checksums"
    (publisher.folder / "rec" / "weights").write_text("changed")
    assert refused(publisher.folder, by)[0] == "digest-mismatch"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[LookedAfter]:
    policy = ModelPolicy(name="ocr", channel="production", keys=(releases.trusted(),))
    settings = {"keys": ["models.pub"], "channel": "production", "members": list(MEMBERS)}
    found = LookedAfter(tmp_path / "host", policy, settings)
    yield found
    release(tmp_path)


def publish(one: LookedAfter, publisher: Publisher, sequence: int) -> None:
    tree = publisher.release(sequence)
    files = {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*.*")}
    files |= {f"{name}/weights": (tree / name / "weights").read_bytes() for name in MEMBERS}
    one.publish(sequence, files)


def answers(one: LookedAfter) -> list[str]:
    answer = one.world.answer()
    assert answer is not None
    return [answer[f"{name}/weights"].decode() for name in MEMBERS]


def test_a_group_is_one_update_with_one_history(one: LookedAfter, publisher: Publisher) -> None:
    one.steps.today = lambda: releases.NOW
    publish(one, publisher, 7)
    assert one.once() == 0
    assert answers(one) == ["det 7\n", "rec 7\n"]
    assert one.world.probes == [None], "each member has its own, which its server asks for"
    assert release_in(one.state / "live" / "rec", one.policy) is not None
    assert one.steps.probe_in(one.state / "live" / "rec") == PROBE
    live = one.status.live
    assert live is not None
    assert live.release is not None
    assert (live.number, live.release.name, live.release.sequence) == (1, "ocr", 7)
    assert one.logged("live-unverified") == []
    assert [row.number for row in one.history()] == [1]


def test_half_of_a_newer_group_leaves_the_old_one(one: LookedAfter, publisher: Publisher) -> None:
    one.steps.today = lambda: releases.NOW
    publish(one, publisher, 7)
    assert one.once() == 0
    tree = publisher.release(8)
    half = {"det/weights": (tree / "det" / "weights").read_bytes()}
    half["det/model.sig"] = (tree / "det" / "model.sig").read_bytes()
    one.publish(8, half)
    assert one.once() == 5
    assert answers(one) == ["det 7\n", "rec 7\n"]
    publish(one, publisher, 9)
    assert one.once() == 0
    assert answers(one) == ["det 9\n", "rec 9\n"]
