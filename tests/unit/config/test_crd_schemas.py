"""The schemas of a chart are read with bounds: a chart is a stranger's file until it is read."""

import pytest

from meshinstall.config.crd_schemas import read_schemas
from meshinstall.errors import ChartError

CRD = """\
spec:
  group: example.com
  names: {kind: Thing}
  versions:
  - name: v1
    schema: {openAPIV3Schema: {type: object}}
"""


def test_each_version_of_each_definition_is_a_type() -> None:
    assert set(read_schemas(f"---\n{CRD}---\n{CRD.replace('Thing', 'Other')}").by_type) == {
        ("example.com/v1", "Thing"),
        ("example.com/v1", "Other"),
    }


@pytest.mark.parametrize("text", ["a: [", "spec: {}", "spec: 1", "- 1"])
def test_what_is_no_definition_is_said(text: str) -> None:
    with pytest.raises(ChartError, match="cannot be read"):
        read_schemas(text)


def test_aliases_that_stand_for_gigabytes_are_refused() -> None:
    levels = "".join(f"  a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9))
    with pytest.raises(ChartError, match="cannot be read"):
        read_schemas(f"{CRD}  a0: &a0 [x]\n{levels}")
