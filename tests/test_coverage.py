"""docs/coverage.md says what is so."""

from tests import coverage


def test_the_page_is_up_to_date():
    expected = coverage.page().splitlines()
    found = coverage.PAGE.read_text(encoding="utf-8").splitlines()
    different = [pair for pair in zip(found, expected, strict=False) if pair[0] != pair[1]]
    assert found == expected, f"run `python -m tests.coverage`; first difference: {different[:1]}"


def test_reasons_are_given_for_names_of_keras():
    names = {f"{name.namespace}.{name.name}" for name in coverage.names()}
    assert set(coverage.REASONS) <= names


def test_a_name_that_no_test_names_is_not_compared():
    assert coverage.is_compared(coverage.Name("keras.layers", "CORE", "Dense", []))
    assert not coverage.is_compared(coverage.Name("keras.layers", "CORE", "Den" + "sity", []))
    assert not coverage.is_present(coverage.Name("keras.layers", "CORE", "Density", []))
