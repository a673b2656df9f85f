"""Versions of the record."""

import pytest

from gato_data.errors import UsageError
from gato_data.records.schema import SCHEMA_VERSION, check_version


@pytest.mark.parametrize("version", [SCHEMA_VERSION, "1.0", "1.7", "0.9"])
def test_versions_that_can_be_read(version):
    check_version(version)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("2.0", "have version 2.0, and this release reads versions up to 1.x. Install a newer"),
        ("10.0", "have version 10.0"),
        ("", "'' is no version"),
        ("1", "'1' is no version"),
        ("1.0-beta", "'1.0-beta' is no version"),
    ],
)
def test_versions_that_are_refused(version, message):
    with pytest.raises(UsageError, match=message):
        check_version(version)
