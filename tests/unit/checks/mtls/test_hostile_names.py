"""Nothing that a tenant wrote becomes a line, an escape sequence, a pipeline's command or a shell's word of its own."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshinstall.checks.mtls.judge import judge
from meshinstall.checks.words import word
from meshinstall.cli.output.event_text import event_text
from meshinstall.cli.output.verdict_html import verdict_html
from meshinstall.cli.output.verdict_json import verdict_json
from meshinstall.cli.output.verdict_junit import verdict_junit
from meshinstall.cli.output.verdict_text import verdict_text
from meshinstall.engine.events import Verifying
from meshinstall.model.foreign_text import command, in_lines, line
from meshinstall.model.mesh import ExternalService, History, MeshFacts, Place, Pod, Proxy
from meshinstall.model.verdict import Verdict
from tests.cases import verdicts

PARTS = [
    *("\n", "\r", "\t", " ", "\x00", "\x85", "\x1b[2J", "\x1b]0;x\x07", "\u2028", "\u202e"),
    *(
        "PASS  shop/forged",
        "::error::x",
        "::stop-commands::x",
        "##vso[task.complete result=Succeeded]",
        "##[error]x",
        "##teamcity[x]",
        "#",
        ":",
        "EOF",
        "fix:",
    ),
    *("'", '"', "`>pwned`", "$(>pwned)", ";>pwned;", "|", "&", "\\", "{", "}", "x"),
]
HOSTILE = (st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join) | st.text(max_size=20)).filter(bool)
CASES = [
    *("uninjected", "excluded-port", "wire-open", "rule-disable", "port-disable", "host-network", "interception-none", "opened-by-filter"),
    *("root-missing", "revision-gone", "proxy-silent", "external", "udp", "two-policies", "certificate-times", "hostile-owner"),
]
# How fixes begin that are no command.
OURS = tuple(
    f"    fix: {begin}"
    for begin in ("the lines", "remove", "let the", "find", "replace", "move", "date", "# set", "#", "finish", "declare")
)
# Each example judges a mesh.
FEW = settings(max_examples=40)


def hostile(facts: MeshFacts, text: str) -> MeshFacts:
    """The facts with ``text`` wherever a tenant, a proxy or a message can put it."""

    def pod(one: Pod) -> Pod:
        labels = {**one.labels, "istio.io/dataplane-mode": text, "sidecar.istio.io/inject": text}
        annotations = {**one.annotations, text: text, "traffic.sidecar.istio.io/excludeInboundPorts": text}
        ports = tuple(replace(port, name=text, protocol=port.protocol) for port in one.ports)
        return replace(one, workload=f"{one.workload} {text}", labels=labels, annotations=annotations, ports=ports)

    def proxy(one: Proxy) -> Proxy:
        leafs = tuple(replace(leaf, subject=text, uris=(text,)) for leaf in one.certificates)
        return replace(one, sync_words=text, istiod=text, problem=one.problem and text, version=text, certificates=leafs)

    spaces = {name: replace(one, labels={**one.labels, "istio.io/rev": text}) for name, one in facts.namespaces.items()}
    rules = tuple(replace(rule, host=f"{rule.host}{text}") for rule in facts.client_rules)
    return replace(
        facts,
        pods=tuple(map(pod, facts.pods)),
        proxies={place: proxy(one) for place, one in facts.proxies.items()},
        namespaces=spaces,
        client_rules=(*facts.client_rules, *rules),
        external=(*facts.external, ExternalService(Place("shop", "out"), (text,))),
        gaps=(*facts.gaps, text),
        history=History(7, text, ((Place("shop", text), 3),), text),
    )


def verdict(name: str, text: str) -> Verdict:
    """What is made of a case with hostile text in it."""
    case = verdicts.load(name)
    return judge(hostile(case.facts, text), case.probing, "kind-dev", case.asked)


def texts(value: Any) -> Iterator[str]:
    """Every text of a JSON document but those of hints, which may have several lines."""
    if isinstance(value, dict):
        for key, under in value.items():
            yield from () if key == "hint" else texts(under)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
    elif isinstance(value, str):
        yield value


def assert_lines(text: str) -> None:
    """Each line prints, and no terminal, pipeline or reader takes a part of it for more."""
    for one in text.split("\n"):
        assert one.replace("\t", "").isprintable()
        assert re.match(r"\s*::[a-z]", one, re.IGNORECASE) is None
        assert re.search(r"##[a-z]*\[", one, re.IGNORECASE) is None


def assert_ours(text: str) -> None:
    """No line of a whole report begins as a row, the end of a document or a fix does."""
    for one in text.split("\n"):
        assert not one.startswith(("PASS  shop/forged", "EOF"))
        assert (
            not one.lstrip().startswith("fix:")
            or one.rstrip() == "    fix:"
            or one.startswith(("    fix: kubectl", "    fix: istioctl", *OURS))
        )


@FEW
@given(st.sampled_from(CASES), HOSTILE)
def test_no_printer_of_a_verdict_lets_a_tenant_write_lines(name: str, text: str) -> None:
    found = verdict(name, text)
    document = verdict_junit(found)
    for report in (verdict_text(found).replace("\nEOF\n", "\n"), verdict_html(found).replace("\nEOF", "\n"), document):
        assert_lines(report)
        assert_ours(report)
    for element in ET.fromstring(document).iter():  # noqa: S314 - our own document
        assert_lines("\n".join([element.text or "", *element.attrib.values()]))
    for one in texts(json.loads(json.dumps(verdict_json(found)))):
        assert "\n" not in one
        assert_lines(one)


@FEW
@given(st.sampled_from(CASES), HOSTILE)
def test_the_table_has_as_many_rows_as_with_harmless_names(name: str, text: str) -> None:
    def table(found: Verdict) -> list[str]:
        # What is indented belongs to the row above.
        lines = verdict_text(found).split("\n\n")[0].split("\n")
        return sorted(one.split("  ")[0] for one in lines if not one.startswith(" "))

    assert table(verdict(name, text)) == table(verdict(name, "x"))


@given(HOSTILE)
def test_a_name_in_a_command_is_one_word(text: str) -> None:
    assert "\n" not in word(text)
    assert shlex.split(f"kubectl get pod {word(text)} -n shop  # why") == ["kubectl", "get", "pod", line(text), "-n", "shop", "#", "why"]


@FEW
@given(st.sampled_from(CASES), HOSTILE)
def test_every_command_holds_hostile_words_as_one_word_each(name: str, text: str) -> None:
    for finding in verdict(name, text).findings:
        for one in commands(finding.hint):
            words = shlex.split(one, comments=True)
            owners = [each for each in words if re.match(r"(deployment|statefulset|daemonset|pod)/", each)]
            assert all(each.partition("/")[2] for each in owners)
            tokens = shlex.shlex(one, posix=True, punctuation_chars=True)
            tokens.whitespace_split = True
            assert not {";", "|", "&", ">", "(", ")"} & {*tokens}


def commands(hint: str) -> list[str]:
    """The lines of a hint that a shell runs, without documents and words for people."""
    lines = re.sub(r"<<'EOF'\n.*?\nEOF", "", hint, flags=re.DOTALL).split("\n")
    return [one for one in lines if one.startswith(("kubectl", "istioctl"))]


@pytest.mark.parametrize(
    "text", ["`>pwned`", "$(>pwned)", ";>pwned;", "x\n>pwned\n", "'>pwned'", '";>pwned;"', "{>pwned,}", "EOF\n>pwned\n"]
)
@pytest.mark.parametrize("name", CASES)
def test_a_shell_runs_nothing_of_a_tenants(name: str, text: str, tmp_path: Path) -> None:
    stub = "kubectl() { :; }; istioctl() { :; };\n"
    hints = [finding.hint for finding in verdict(name, text).findings if finding.hint.startswith(("kubectl", "istioctl", "#"))]
    done = subprocess.run(["sh", "-c", stub + "\n".join(hints)], cwd=tmp_path, capture_output=True, check=False, timeout=20)
    assert list(tmp_path.iterdir()) == []
    assert done.returncode == 0, done.stderr


@given(HOSTILE)
def test_a_step_of_verification_is_one_line(text: str) -> None:
    told = event_text(Verifying(f"looking at the mesh; {text}", 1.0))
    assert "\n" not in told
    assert_lines(told)


@given(HOSTILE)
def test_what_prints_already_is_not_changed_again(text: str) -> None:
    assert line(line(text)) == line(text)
    assert command(command(text)) == command(text)
    assert in_lines(in_lines(Place("shop", text))) == Place("shop", line(text))
