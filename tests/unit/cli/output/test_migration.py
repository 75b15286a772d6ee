"""What ``policy migrate`` prints, and the files that it writes: all or none, and never over another one."""

from pathlib import Path

import pytest
import yaml

from meshinstall.cli.output.migration import file_texts, migration_text, printed_files, write_files
from meshinstall.errors import UsageError
from meshinstall.model.migration import Goal, Migration, NamespaceStep, Readiness

PATH = "policies/envs/prod/shop/strict.yaml"
OBJECT = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "default", "namespace": "shop"},
    "spec": {"mtls": {"mode": "STRICT"}},
}
FOUND = Migration(
    (
        NamespaceStep("pay", Goal.STRICT, Readiness.SET),
        NamespaceStep("pay", Goal.DENY, Readiness.NOT_PROVEN, ("nobody was counted",)),
        NamespaceStep("queue", Goal.STRICT, Readiness.NOT_PROVEN, ("nobody was counted",)),
        NamespaceStep("queue", Goal.DENY, Readiness.NOT_READY, ("nobody was counted", "a gateway is in it")),
        NamespaceStep("shop", Goal.STRICT, Readiness.READY),
        NamespaceStep("shop", Goal.DENY, Readiness.READY),
    ),
    {PATH: OBJECT},
    ("shop",),
    ("since the proxies started, no workload was seen to receive plaintext",),
)


def test_each_namespace_has_its_lines() -> None:
    assert migration_text(FOUND) == (
        "SET         pay    STRICT\n"
        "NOT PROVEN  pay    deny-by-default\n"
        "            nobody was counted\n"
        "NOT PROVEN  queue  STRICT\n"
        "            nobody was counted\n"
        "NOT READY   queue  deny-by-default\n"
        "            the same as for STRICT\n"
        "            a gateway is in it\n"
        "READY       shop   STRICT\n"
        "READY       shop   deny-by-default\n"
        "since the proxies started, no workload was seen to receive plaintext\n"
        "SET is what policies ask for; meshinstall verify proves it\n"
        "once the files are applied, add to policies.namespaces of the environment, beside baseline: deny-by-default:\n"
        "  - shop"
    )


def test_the_printed_files_are_the_objects() -> None:
    text = printed_files(file_texts(FOUND))
    assert text.startswith(f"---\n# {PATH}\n")
    assert list(yaml.safe_load_all(text)) == [OBJECT]


def test_files_are_written_below_the_folder_for_all_to_read(tmp_path: Path) -> None:
    (path,) = write_files(tmp_path, file_texts(FOUND))
    assert path == tmp_path / PATH
    assert path.stat().st_mode & 0o777 == 0o644
    assert yaml.safe_load(path.read_text()) == OBJECT


def test_nothing_is_written_where_one_of_them_is_there(tmp_path: Path) -> None:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_text("mine\n")
    with pytest.raises(UsageError, match="exists already, and nothing was written"):
        write_files(tmp_path, {"policies/envs/prod/shop/a.yaml": "a: 1\n", **file_texts(FOUND)})
    assert (tmp_path / PATH).read_text() == "mine\n"
    assert not (tmp_path / "policies/envs/prod/shop/a.yaml").exists()


def test_a_folder_that_cannot_be_written_is_a_mistake_of_usage(tmp_path: Path) -> None:
    (tmp_path / "policies").write_text("")
    with pytest.raises(UsageError, match="--out: cannot write"):
        write_files(tmp_path, file_texts(FOUND))
