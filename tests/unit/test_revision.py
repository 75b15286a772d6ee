"""Names of revisions."""

import pytest

from meshinstall.model.revision import istiod_release, revision_of


@pytest.mark.parametrize("version", ["1.31.4", "1.31", "1.31.0-rc.1", "1.31.0+0123456789ab"])
def test_a_revision_is_the_minor(version: str) -> None:
    assert revision_of(version) == "1-31"


@pytest.mark.parametrize("version", ["", "latest", "1", "v1.31.0", "1.x"])
def test_what_is_not_a_version_has_no_revision(version: str) -> None:
    with pytest.raises(ValueError, match="is not a version of Istio"):
        revision_of(version)


def test_the_release_of_istiod_is_named_by_its_revision() -> None:
    assert istiod_release("") == "istiod"
    assert istiod_release("1-31") == "istiod-1-31"
