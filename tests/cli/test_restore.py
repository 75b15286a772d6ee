"""The command ``restore`` as users type it: what makes no sense, or is hostile, is refused before a cluster is asked."""

from pathlib import Path

import pytest

from meshinstall.adapters.recovery.draft import drafting
from meshinstall.cli.commands.restore import resolved
from meshinstall.errors import UsageError
from meshinstall.model.request import Request
from meshinstall.model.snapshot import Envelope, envelope_bytes, manifest_bytes
from meshinstall.wiring import open_snapshot
from tests.cli.running import Run
from tests.unit.model.test_snapshot_content import as_bytes, documents

YAML = "files/meshinstall.yaml"
ENVIRONMENT = "apiVersion: meshinstall.dev/v1\nenvironments:\n  dev:\n    cloud: local\n    cluster: {%s}\n"
# A kubeconfig that runs a program to sign in.
HOSTILE = """apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: a, user: a}}]
clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]
users:
- name: a
  user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/sh, args: [-c, "touch %s"], interactiveMode: Never}}
"""


def kept(folder: Path, files: dict[str, str] | None = None, **changed: object) -> Path:
    """An unsigned snapshot with these files."""
    found = documents()
    found["desired.json"] |= changed
    with drafting(folder / "kept") as draft:
        for path, data in {**as_bytes(found), **{name: text.encode() for name, text in (files or {}).items()}}.items():
            draft.write(path, data)
        draft.publish(envelope_bytes(Envelope(manifest_bytes(draft.entries()), ())))
    return folder / "kept"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("kept",), "it takes one of --key and --unsigned"),
        (("kept", "--unsigned", "--key", "x.pub"), "it takes one of --key and --unsigned"),
        (("none", "--unsigned"), "none: No such file or directory"),
        (("kept", "--key", "none.pub"), "--key none.pub: No such file"),
        (("kept", "--key", "kept/mesh.json"), "it is in the snapshot"),
        (("kept", "--unsigned", "--html", "none/x.html"), "--html none/x.html"),
        (("kept", "--unsigned", "--cloud", "mars"), "'mars' is not one of"),
        (("kept", "--unsigned", "--env", "nobody"), "there is no environment 'nobody'"),
        (("kept", "--unsigned", "--to", "1.x"), "1.x"),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, tuple) else "",
)
def test_what_makes_no_sense_is_refused_before_a_cluster_is_asked(run: Run, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    kept(tmp_path)
    done = run("restore", *arguments)
    assert said in done.err
    assert done.status == 2
    assert "Traceback" not in done.err


def test_a_key_that_did_not_sign_refuses(run: Run, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    kept(tmp_path)
    public = Ed25519PrivateKey.generate().public_key()
    (tmp_path / "key.pub").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    done = run("restore", "kept", "--key", "key.pub")
    assert (done.status, "not signed" in done.err) == (1, True)


@pytest.mark.parametrize("named", ["kubeconfig: kube.yaml", "kubeconfig: ../files/kube.yaml", "kubeconfig: %s/outside.yaml"])
def test_no_kubeconfig_that_a_snapshot_names_is_read(run: Run, tmp_path: Path, named: str) -> None:
    """It may run a program, or lead elsewhere, and whoever took the snapshot had another machine."""
    ran = tmp_path / "ran"
    named = named.replace("%s", str(tmp_path))
    (tmp_path / "outside.yaml").write_text(HOSTILE % ran)
    kept(tmp_path, {YAML: ENVIRONMENT % named, "files/kube.yaml": HOSTILE % ran})
    done = run("restore", "kept", "--unsigned")
    assert (done.status, "--kubeconfig" in done.err) == (2, True)
    assert not ran.exists()


def test_a_kubeconfig_that_an_option_names_counts(tmp_path: Path) -> None:
    folder = kept(tmp_path, {YAML: ENVIRONMENT % "kubeconfig: kube.yaml, context: old"})
    mine = tmp_path / "mine.yaml"
    with open_snapshot(folder, None) as snapshot:
        _, desired = resolved(snapshot, Request(cluster={"kubeconfig": str(mine)}))
        assert desired.cluster.kubeconfig == mine
        with pytest.raises(UsageError):
            resolved(snapshot, Request())


def test_the_profile_of_then_counts_where_an_option_gave_it(tmp_path: Path) -> None:
    folder = kept(tmp_path, {YAML: ENVIRONMENT % ""}, profile="ambient")
    with open_snapshot(folder, None) as snapshot:
        assert resolved(snapshot, Request())[1].profile == "ambient"


def test_a_profile_of_another_environment_is_its_own(tmp_path: Path) -> None:
    two = f"{ENVIRONMENT % ''}  stage:\n    cloud: local\n    profile: minimal\n    cluster: {{}}\n"
    folder = kept(tmp_path, {YAML: two}, profile="ambient")
    with open_snapshot(folder, None) as snapshot:
        assert resolved(snapshot, Request(environment="stage"))[1].profile == "minimal"


def test_a_snapshot_without_files_has_the_environment_of_then(tmp_path: Path) -> None:
    with open_snapshot(kept(tmp_path), None) as snapshot:
        _, desired = resolved(snapshot, Request())
    assert (desired.environment, desired.profile, desired.istio_version) == ("dev", "default", "1.31.0")
