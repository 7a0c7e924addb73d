"""A report is known again by the guard that keeps commands from replacing other files."""

from __future__ import annotations

import pytest
from made_up import make

from lora_unlearn.errors import UnlearnError
from lora_unlearn.report import write_report
from lora_unlearn.written import Written, check_replaceable, written


def test_a_report_is_known_again_with_its_concept(tmp_path):
    write_report(make(), tmp_path)
    assert written(tmp_path / "report.html") == Written("page")
    assert written(tmp_path / "report.json") == Written("report", "cat")
    check_replaceable(tmp_path / "report.json", Written("report", "Cat"))
    with pytest.raises(UnlearnError, match="is a report for 'cat'"):
        check_replaceable(tmp_path / "report.json", Written("report", "dog"))
