"""Each mistake is said with its place, the safe way to write it is not, and no shape of a file stops the judge."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.checks.policies.judge import judge
from meshinstall.checks.policies.never import is_slip
from meshinstall.checks.policies.reading import Policies
from meshinstall.config.policy_files import read_objects
from meshinstall.errors import Problem, UsageError
from meshinstall.model.codes import CHECKS, Phase
from meshinstall.model.policy_object import PolicyObject
from tests.cases import policies


@pytest.mark.parametrize("name", policies.names())
def test_a_mistake_is_said_and_the_safe_way_is_not(name: str) -> None:
    assert policies.said(name) == (policies.FOLDER / name / "said.txt").read_text()
    wrong, right = (policies.check(policies.FOLDER / name / f"{which}.yaml") for which in ("wrong", "right"))
    assert wrong.problems or wrong.findings
    assert (right.problems, right.findings, right.has_errors) == ((), (), False)


# What only an identity provider's own answer shows.
_ONLINE = {"POL025", "POL026"}


def test_every_code_has_a_case() -> None:
    seen = {one.code for name in policies.names() for one in policies.check(policies.FOLDER / name / "wrong.yaml").findings}
    assert seen == {code for code, check in CHECKS.items() if check.phase is Phase.POLICY} - _ONLINE


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99_999) | st.text(max_size=8) | st.sampled_from(["*", "/a*b", "DENY", "CUSTOM", "80"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = (
    *("action", "rules", "from", "source", "to", "operation", "when", "key", "values", "principals", "paths", "ports", "methods"),
    *("selector", "matchLabels", "targetRefs", "jwtRules", "jwks", "jwksUri", "issuer", "audiences", "mtls", "mode", "portLevelMtls"),
)
_SPECS = st.recursive(
    _ANY, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=4), max_leaves=20
)


@given(st.sampled_from(["AuthorizationPolicy", "RequestAuthentication", "PeerAuthentication", "Service"]), _SPECS, _ANY)
def test_no_shape_of_an_object_stops_it(kind: str, spec: object, metadata: object) -> None:
    group = "v1" if kind == "Service" else "security.istio.io/v1"
    one = PolicyObject("x.yaml", {"apiVersion": group, "kind": kind, "metadata": metadata, "spec": spec}, {})
    service = PolicyObject("x.yaml", {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}, {})
    for found in judge(Policies((one, service), providers=())):
        assert found.origin.startswith("x.yaml:")
        assert CHECKS[found.code].severities


def test_a_port_of_a_hostile_length_is_no_port(tmp_path: Path) -> None:
    """Python refuses to read a number of so many digits, and says so by an exception."""
    port = "9" * 5000
    (tmp_path / "all.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n"
        f"spec: {{selector: {{app: web}}, ports: [{{port: 80, name: tcp-x, targetPort: '{port}'}}, {{port: 81, name: tcp-y}}]}}\n"
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: web, namespace: shop}\n"
        f"spec: {{action: DENY, rules: [{{to: [{{operation: {{methods: [GET], ports: ['{port}']}}}}]}}]}}\n"
    )
    codes = [one.code for one in judge(Policies(read_objects([tmp_path], [])))]
    assert codes == ["POL001"]


def test_lines_are_those_of_the_file_whatever_document_they_are_in(tmp_path: Path) -> None:
    text = "# first\n---\nkind: A\napiVersion: v1\n--- # next\napiVersion: v1\nkind: B\nmetadata:\n  name: x\n"
    (tmp_path / "two.yaml").write_text(text)
    problems: list[Problem] = []
    first, second = read_objects([tmp_path], problems)
    assert problems == []
    assert (first.kind, first.place(("kind",)), second.kind, second.place(("metadata", "name"))) == ("A", (3, 1), "B", (9, 3))


def test_files_that_are_hidden_or_no_objects_are_passed_over_in_a_folder_and_said_when_they_are_named(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    for name in (".git/a.yaml", "values.yaml", "notes.txt"):
        (tmp_path / name).write_text("a: 1\n")
    problems: list[Problem] = []
    assert read_objects([tmp_path], problems) == ()
    assert problems == []
    read_objects([tmp_path / "values.yaml"], problems)
    assert [one.text for one in problems] == ["no object of Kubernetes is in this file: apiVersion and kind are missing"]
    with pytest.raises(UsageError, match="there is no such file or folder"):
        read_objects([tmp_path / "nothing"], problems)


def test_secrets_in_objects_are_named_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\ndata:\n  password: hunter2-hunter2\n")
    problems: list[Problem] = []
    read_objects([tmp_path], problems)
    assert [(one.line, "looks like a secret" in one.text) for one in problems] == [(4, True)]
    assert "hunter2" not in str(problems)


@pytest.mark.parametrize(
    ("said", "meant", "slips"),
    [
        ("shpo", "shop", True),
        ("sshop", "shop", True),
        ("chekout", "checkout", True),
        ("shop", "shop", False),
        ("shops", "shop", False),
        ("shopp", "shop", False),
        ("team-a", "team-b", False),
        ("shop-dev", "shop-prod", False),
        ("ab", "ba", False),
    ],
)
def test_a_slip_is_one_of_the_fingers_and_not_another_name(said: str, meant: str, *, slips: bool) -> None:
    assert is_slip(said, meant) == is_slip(meant, said) == slips


def test_names_of_a_hostile_length_are_compared_at_once() -> None:
    """A comparison that takes out each letter in turn takes time with the square of the length."""
    assert not is_slip("a" * 1_000_000, "shop")
    assert not is_slip("a" * 1_000_000 + "b", "a" * 999_999 + "b" * 3)
    assert is_slip("a" * 1_000_000 + "b", "a" * 999_999 + "b")


def test_thousands_of_policies_are_each_read_once() -> None:
    """Each policy asks for those beside it: their kinds and namespaces are not read again for each."""

    class Counted(PolicyObject):
        reads = 0

        @property
        def kind(self) -> str:
            Counted.reads += 1
            return str(self.manifest["kind"])

    spec = {"rules": [{"from": [{"source": {"namespaces": ["shop"]}}]}]}
    metadata = {"name": "web", "namespace": "shop"}
    manifest = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}
    list(judge(Policies(tuple(Counted("x.yaml", manifest, {}) for _ in range(300)))))
    assert Counted.reads < 300 * 10


def test_policies_of_many_namespaces_are_held_against_their_own_alone() -> None:
    """Each asks for what is beside it: with all objects of all namespaces for each, time would go with the square of their number."""

    class Counted(PolicyObject):
        reads = 0

        @property
        def namespace(self) -> str:
            Counted.reads += 1
            return str(self.manifest["metadata"]["namespace"])

    def judged(count: int) -> int:
        Counted.reads = 0
        selected = {"selector": {"matchLabels": {"app": "web"}}}
        source = {"requestPrincipals": ["https://a.example.com/*"], "namespaces": ["shop"]}
        specs = {
            ("security.istio.io/v1", "AuthorizationPolicy"): {**selected, "action": "DENY", "rules": [{"from": [{"source": source}]}]},
            ("security.istio.io/v1", "RequestAuthentication"): {**selected, "jwtRules": [{"issuer": "https://a.example.com"}]},
            ("security.istio.io/v1", "PeerAuthentication"): {**selected, "mtls": {"mode": "PERMISSIVE"}},
            ("v1", "Service"): {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
            ("monitoring.coreos.com/v1", "ServiceMonitor"): {"selector": {"matchLabels": {"app": "web"}}, "endpoints": [{"port": "http"}]},
            ("networking.istio.io/v1", "VirtualService"): {"gateways": ["edge/edge"], "http": [{"corsPolicy": {}}]},
        }
        objects = [
            Counted(
                "x.yaml", {"apiVersion": version, "kind": kind, "metadata": {"name": "web", "namespace": f"n{number}"}, "spec": spec}, {}
            )
            for number in range(count)
            for (version, kind), spec in specs.items()
        ]
        list(judge(Policies(tuple(objects))))
        return Counted.reads

    assert judged(200) < 2.5 * judged(100)
