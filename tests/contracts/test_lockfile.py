"""meshinstall.lock: what is written, what is read, and what stops a run."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from meshinstall.config.lockfile import Lock, check, dump, load, write
from meshinstall.errors import ChartError, ConfigError, UsageError
from meshinstall.model.release import ChartRef

BASE = ChartRef("base", "1.31.0", "oci://registry.istio.io/release/charts", f"sha256:{'a' * 64}")
ISTIOD = ChartRef("istiod", "1.31.0", "oci://registry.istio.io/release/charts", f"sha256:{'b' * 64}")


def test_it_is_made_to_be_read_and_compared(tmp_path: Path) -> None:
    file = tmp_path / "meshinstall.lock"

    write(file, Lock((ISTIOD, BASE)))

    assert file.read_text() == (
        "# The charts that this project installs. Written by `meshinstall lock --update`; commit it.\n"
        "apiVersion: meshinstall.dev/lock/v1\n"
        "charts:\n"
        '- name: "base"\n'
        '  version: "1.31.0"\n'
        '  source: "oci://registry.istio.io/release/charts"\n'
        f'  digest: "sha256:{"a" * 64}"\n'
        '- name: "istiod"\n'
        '  version: "1.31.0"\n'
        '  source: "oci://registry.istio.io/release/charts"\n'
        f'  digest: "sha256:{"b" * 64}"\n'
    )
    assert load(file) == Lock((BASE, ISTIOD))


def test_a_chart_of_a_registry_has_its_manifest_too(tmp_path: Path) -> None:
    file = tmp_path / "meshinstall.lock"
    lock = Lock((BASE, ISTIOD), {("istiod", "1.31.0"): f"sha256:{'c' * 64}"})

    write(file, lock)

    assert f'  digest: "{ISTIOD.digest}"\n  manifest: "sha256:{"c" * 64}"\n' in file.read_text()
    assert load(file) == lock
    file.write_text(file.read_text().replace("sha256:ccc", "sha256:xcc"))
    with pytest.raises(ConfigError, match="manifest must be sha256: and 64 lower-case hex digits"):
        load(file)


texts = some.text(some.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
charts = some.builds(ChartRef, texts, texts, texts, some.just(BASE.digest))


@given(some.lists(charts, min_size=1, unique_by=lambda chart: (chart.name, chart.version)))
def test_what_is_written_is_read_again_whatever_the_order(tmp_path_factory: pytest.TempPathFactory, written: list[ChartRef]) -> None:
    file = tmp_path_factory.getbasetemp() / "any.lock"

    write(file, Lock(tuple(written)))

    assert set(load(file).charts) == set(written)
    assert dump(Lock(tuple(written))) == dump(Lock(tuple(reversed(written))))


def test_every_mistake_is_named_with_its_line_at_once(tmp_path: Path) -> None:
    file = tmp_path / "meshinstall.lock"
    file.write_text(
        "apiVersion: meshinstall.dev/lock/v9\n"
        "extra: 1\n"
        "charts:\n"
        "- name: base\n"
        "  version: 1.31\n"
        "  source: here\n"
        "  digest: sha256:abc\n"
        "  signed: true\n"
        "- istiod\n"
    )

    with pytest.raises(ConfigError) as caught:
        load(file)

    assert [(problem.line, problem.text) for problem in caught.value.problems] == [
        (2, "unknown key 'extra'"),
        (1, "apiVersion is 'meshinstall.dev/lock/v9', not meshinstall.dev/lock/v1"),
        (5, "version must be text"),
        (8, "unknown key 'signed'"),
        (7, "digest must be sha256: and 64 lower-case hex digits"),
        (9, "an entry of charts must be a map"),
    ]


@pytest.mark.parametrize(
    ("content", "first"),
    [
        ("", "1:1: it is empty and pins no chart"),
        ("\n# nothing\n", "1:1: it is empty and pins no chart"),
        ("{}", "1:1: it is empty and pins no chart"),
        ("charts: {}", "1:1: apiVersion is None, not meshinstall.dev/lock/v1"),
        ("a: b: c", "1:5: not valid YAML: mapping values are not allowed in this context"),
        ("[]", "1:1: must be a map of keys and values"),
        ("\0", "1:1: not valid YAML: control characters are not allowed"),
        ("apiVersion: meshinstall.dev/lock/v1\ncharts: null", "2:1: charts must be a list"),
        ("apiVersion: meshinstall.dev/lock/v1\n", "1:1: charts must be a list"),
        ("apiVersion: meshinstall.dev/lock/v1\n\ncharts: []\n", "3:1: charts is empty, so that no chart is pinned"),
    ],
)
def test_what_is_no_lock_is_an_error_with_its_line_and_a_way_out(tmp_path: Path, content: str, first: str) -> None:
    file = tmp_path / "meshinstall.lock"
    file.write_text(content)

    with pytest.raises(ConfigError) as caught:
        load(file)

    assert str(caught.value.problems[0]) == f"{file}:{first}"
    assert "delete it and run `meshinstall lock --update --env NAME`" in caught.value.message


def test_a_lock_that_is_a_link_to_nothing_or_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(ConfigError, match="there is no such file"):
            load(tmp_path / name)


def test_no_file_pins_nothing(tmp_path: Path) -> None:
    assert load(tmp_path / "meshinstall.lock") == Lock(())


def test_a_chart_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "meshinstall.lock"
    file.write_text(dump(Lock((BASE, replace(BASE, digest=ISTIOD.digest)))))

    with pytest.raises(ConfigError, match=r"8:3: chart base 1.31.0 is listed twice"):
        load(file)


def test_a_lock_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        write(tmp_path / "gone" / "meshinstall.lock", Lock((BASE,)))


def test_writing_leaves_nothing_but_the_lock(tmp_path: Path) -> None:
    write(tmp_path / "meshinstall.lock", Lock((BASE,)))
    write(tmp_path / "meshinstall.lock", Lock((ISTIOD,)))

    assert [file.name for file in tmp_path.iterdir()] == ["meshinstall.lock"]


def test_the_pinned_charts_pass_from_a_mirror_too() -> None:
    check(Lock((BASE, ISTIOD)), [replace(BASE, source="https://mirror.example.org/charts")])


def test_a_chart_of_another_digest_stops_and_says_what_was_expected_what_came_and_from_where() -> None:
    came = replace(ISTIOD, source="https://mirror.example.org/charts", digest=f"sha256:{'c' * 64}")

    with pytest.raises(ChartError) as caught:
        check(Lock((BASE, ISTIOD)), [BASE, came])

    assert caught.value.message == (
        f"chart istiod 1.31.0: meshinstall.lock expects {ISTIOD.digest} (from {ISTIOD.source}), but {came.source} has {came.digest}"
    )


def test_a_chart_that_is_not_pinned_stops() -> None:
    with pytest.raises(ChartError, match=r"chart istiod 1.31.0 is not in meshinstall.lock"):
        check(Lock((BASE,)), [ISTIOD])
