"""Whose files are in a folder: what is not in the record is never written over nor deleted, and no record leads out of the folder."""

import json

import pytest

from meshinstall.errors import UsageError
from meshinstall.gitops.record import NAME, Changes, Record, check_same, compare, digest, insist, make_record, read_record, record_text

FILES = {"dev/eks/a.yaml": "a\n", "dev/eks/b.yaml": "b\n"}
SITES = ("dev/eks",)
RECORD = make_record("manifests", SITES, FILES)


def test_a_record_is_read_again() -> None:
    assert read_record(record_text(RECORD).encode()) == RECORD
    assert record_text(RECORD).count("sha256:") == 2


def changes(**given: tuple[str, ...]) -> Changes:
    return Changes(**{name: given.get(name, ()) for name in ("created", "changed", "removed", "foreign", "edited")})


def test_an_empty_folder_gets_everything() -> None:
    assert compare(FILES, None, dict.fromkeys(FILES)) == changes(created=tuple(FILES))


def test_what_is_as_it_should_be_is_left() -> None:
    there = {path: text.encode() for path, text in FILES.items()}
    assert compare(FILES, RECORD, there).is_empty
    assert compare(FILES, None, there).is_empty


def test_what_is_ours_is_written_over_and_what_is_not_is_refused() -> None:
    there: dict[str, bytes | None] = {"dev/eks/a.yaml": b"edited\n", "dev/eks/b.yaml": b"b\n"}
    assert compare(FILES, RECORD, there) == changes(changed=("dev/eks/a.yaml",))
    found = compare(FILES, None, there)
    assert found.foreign == ("dev/eks/a.yaml",)
    with pytest.raises(UsageError, match=r"1 files of somebody else have names that would be written: dev/eks/a\.yaml"):
        insist(found)


def test_what_is_no_longer_rendered_goes_unless_somebody_edited_it() -> None:
    wanted = {"dev/eks/a.yaml": "a\n"}
    there: dict[str, bytes | None] = {"dev/eks/a.yaml": b"a\n", "dev/eks/b.yaml": b"b\n"}
    assert compare(wanted, RECORD, there) == changes(removed=("dev/eks/b.yaml",))
    found = compare(wanted, RECORD, {**there, "dev/eks/b.yaml": b"mine\n"})
    assert found.edited == ("dev/eks/b.yaml",)
    with pytest.raises(UsageError, match="were edited"):
        insist(found)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "a//b", ".git/config", "a/.hidden", "", "a\\b", "a\nb", NAME, "a/\u00e9", "C:x"]
)
def test_no_record_leads_out_of_the_folder_or_to_hidden_files(path: str) -> None:
    data = {"apiVersion": "meshinstall.dev/render/v1", "format": "manifests", "sites": [], "files": {path: digest(b"")}}
    with pytest.raises(UsageError, match="not a path below the folder"):
        read_record(json.dumps(data).encode())


ENTRIES: list[object] = [[], {"a": 1}, {"a": "sha256:x"}]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"apiVersion": "meshinstall.dev/render/v2"}', '{"apiVersion": "meshinstall.dev/render/v1", "format": 1}']
    + [json.dumps({"apiVersion": "meshinstall.dev/render/v1", "format": "x", "sites": ["a"], "files": files}) for files in ENTRIES],
)
def test_what_is_not_a_record_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(UsageError, match=NAME):
        read_record(text.encode())


def test_another_format_needs_another_folder() -> None:
    with pytest.raises(UsageError, match="--format manifests"):
        check_same(RECORD, Record("kustomize", SITES, {}), narrowed=False)


def test_files_of_other_sites_do_not_go_by_the_way() -> None:
    before = Record("manifests", ("dev/eks", "prod/eks"), {})
    check_same(before, RECORD, narrowed=False)
    with pytest.raises(UsageError, match="prod/eks"):
        check_same(before, RECORD, narrowed=True)
