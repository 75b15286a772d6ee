"""The charts of the testbed name the images that a release names."""

from testbed.build.charts import release_values

DEVELOPMENT = """\
hub: ""
tag: ""
_internal_defaults_do_not_set:
  global:
    # Dev builds are on registry.istio.io/testing.
    hub: registry.istio.io/testing
    tag: latest
"""


def test_development_images_become_those_of_the_version() -> None:
    assert release_values(DEVELOPMENT, "1.31.1").splitlines()[4:] == [
        "    # Dev builds are on registry.istio.io/testing.",
        "    hub: docker.io/istio",
        "    tag: 1.31.1",
    ]


def test_what_is_left_to_the_user_stays() -> None:
    assert release_values(DEVELOPMENT, "1.31.1").startswith('hub: ""\ntag: ""\n')
