"""What changed between two locks, and staleness by meaning."""

import pytest

from hps.errors import LockStaleError
from hps.lock import text
from hps.lock.difference import difference
from hps.lock.records import Layer, Lock, Resolver
from hps.lock.stale import changes, fresh_target
from tests.lock.test_base_image import BASE
from tests.lock.test_text import HEX, lock, wheel


def with_layers(base: Lock, *layers: tuple[str, str, int]) -> Lock:
    made = tuple(
        Layer(
            name=name,
            kind="wheels",
            members=(name,),
            diff_id=diff_id * 64,
            size=size,
            entries=1,
            paths="AAA=",
        )
        for name, diff_id, size in layers
    )
    target = base.targets[0].model_copy(update={"layers": made})
    return base.model_copy(update={"targets": (target,)})


def test_equal_locks_do_not_differ() -> None:
    found = difference(lock(), lock())
    assert (found.packages, found.layers, found.moved) == ((), (), 0)


def test_an_upgrade_moves_its_own_layer_only() -> None:
    newer = wheel("numpy").model_copy(update={"version": "2.0", "sha256": HEX[::-1]})
    old = with_layers(lock(wheel("numpy"), wheel("scipy")), ("numpy", "a", 100), ("scipy", "b", 9))
    new = with_layers(lock(newer, wheel("scipy")), ("numpy", "c", 120), ("scipy", "b", 9))
    found = difference(old, new)
    assert [(one.name, one.change, one.old, one.new) for one in found.packages] == [
        ("numpy", "changed", "1.0", "2.0")
    ]
    assert [layer.name for layer in found.layers] == ["numpy"]
    assert (found.moved, found.total) == (120, 129)


def test_added_and_removed_packages_are_named() -> None:
    found = difference(lock(wheel("a")), lock(wheel("b")))
    assert {(one.name, one.change) for one in found.packages} == {("a", "removed"), ("b", "added")}


def test_another_resolver_is_named() -> None:
    other = Resolver(name="pip-tools", version="7.6.2", flags=("--x",))
    new = lock(wheel("a")).model_copy(update={"resolver": other})
    (change,) = difference(lock(wheel("a")), new).packages
    assert (change.kind, change.name, change.change) == ("resolver", "python", "changed")
    assert change.new == "pip-tools 7.6.2"
    newer = lock().resolver.model_copy(update={"version": "99"})
    assert difference(lock(), lock().model_copy(update={"resolver": newer})).packages == ()


def test_a_target_may_have_been_chosen_by_another_than_the_lock() -> None:
    other = Resolver(name="pip-tools", version="7.6.2", flags=("--x",))
    target = lock().targets[0].model_copy(update={"resolver": other})
    new = lock().model_copy(update={"targets": (target,)})
    assert new.resolver_of(target) == other
    assert text.read(text.write(new)) == new
    assert [one.kind for one in difference(lock(), new).packages] == ["resolver"]


def test_changes_are_named_by_key_path() -> None:
    assert changes([("a", "1"), ("b", "1"), ("c", "1")], [("a", "1"), ("b", "2"), ("d", "1")]) == (
        "b: changed since the lock was made",
        "c: removed since the lock was made",
        "d: added since the lock was made",
    )


def test_a_stale_target_is_refused() -> None:
    assert fresh_target(lock(), "cpu", lock().targets[0].inputs).name == "cpu"
    with pytest.raises(LockStaleError) as caught:
        fresh_target(lock(), "cpu", [("targets.cpu.debian.packages", "ffff")])
    assert "targets.cpu.debian.packages" in str(caught.value)
    assert caught.value.exit_code == 3
    with pytest.raises(LockStaleError, match="gpu"):
        fresh_target(lock(), "gpu", [])


def test_of_a_base_image_what_python_finds_counts() -> None:
    """A second one of the same name lies in a folder that is looked at later."""
    old, new = (
        lock().model_copy(
            update={"targets": (lock().targets[0].model_copy(update={"base": base}),)}
        )
        for base in (None, BASE)
    )
    (change,) = (one for one in difference(old, new).packages if one.kind == "base-python")
    assert (change.name, change.change, change.new) == ("numpy", "added", "1.26")
