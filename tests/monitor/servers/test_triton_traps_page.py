"""The page about Triton's traps names tests that there are, for every trap, and all tests of traps."""

from pathlib import Path

from tests.docs.named_tests import ROOT, exists, names_of_tests_in, rows

PAGE = ROOT / "docs" / "explanation" / "triton-traps.md"
TRAPS = Path(__file__).with_name("test_triton_traps.py")


def test_every_trap_has_tests_that_there_are() -> None:
    found = rows(PAGE, "traps")
    assert [*found] == [str(number) for number in range(1, 14)]
    for number, tests in found.items():
        assert tests, number
        assert [test for test in tests if "::" not in test or not exists(test)] == [], number


def test_every_test_of_a_trap_is_on_the_page_under_its_number() -> None:
    named = rows(PAGE, "traps")
    for name in names_of_tests_in(TRAPS):
        assert f"{TRAPS.relative_to(ROOT)}::{name}" in named[name.split("_")[1]], name
