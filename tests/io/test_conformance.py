"""The test files of other packages: right, refused with one sentence, or listed with the reason; never a traceback."""

import re

import conformance
import pytest


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("package", conformance.PACKAGES)
def test_the_test_files_of_other_packages_are_read_truly_or_refused(package: str, capfd: pytest.CaptureFixture) -> None:
    conformance.quiet()
    try:
        found = list(conformance.rows(package))
    except conformance.NoRegistry as error:
        pytest.skip(str(error))
    assert [row for row in found if row.outcome in ("wrong", "traceback")] == []
    for row in found:
        if row.outcome == "refused":
            assert row.said.endswith(".")
            assert "\n" not in row.said
    written = re.search(rf"\| {conformance.PACKAGES[package]} \| (\d+) \|", conformance.TABLE.read_text("utf-8"))
    assert written
    assert int(written[1]) == len(found)
