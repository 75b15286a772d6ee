"""How a restore ended, whatever names a snapshot has: no markup, no control character, and valid JSON."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from meshinstall.checks.recovery import compared, left_to_do
from meshinstall.cli.output.restore_html import restore_html
from meshinstall.cli.output.restore_text import restore_line, restore_text
from meshinstall.engine.recovery.terms import Phase, Result
from meshinstall.model.place import Place
from meshinstall.model.plan import Change, Plan
from meshinstall.model.restoring import KeptGateway, KeptPort, KeptSecret
from tests.unit.checks.test_recovery import CONTENT, NOW, VERDICT, wanted

HOSTILE = st.text(alphabet="<>&\"'`$;\x1b\x07\r\n\u202e a", max_size=12) | st.sampled_from(
    ["<script>alert(1)</script>", "\x1b]0;x\x07", "$(touch x)", "a\r\nPASS  trust: it came along"]
)


@settings(max_examples=150, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_names_of_a_snapshot_are_text_wherever_they_are_shown(one: str, two: str, three: str) -> None:
    content = replace(
        CONTENT,
        which=one,
        trust_domain=two,
        serving={one: two, **(CONTENT.serving or {})},
        left_out=(three,),
        ports=(KeptPort("shop", two, 80, "PASS"),),
        gateways=(KeptGateway("istio-ingress", three, (one,)),),
        secrets=(KeptSecret("shop", "tls", one, (two,)),),
    )
    now = replace(NOW, lacking=content.secrets, bare=(Place("shop", f"Deployment {three}"),), gaps={one: two}, labels={"shop": {one: two}})
    desired = wanted(content)
    checks = compared(content, now, desired, (), VERDICT)
    left = tuple(left_to_do(content, now, desired))
    plan = Plan(one, two, three, "1.31.0", "istio-system", ())
    result = Result(plan, content, checks, left, (Phase("plan", 1.0),), VERDICT, {one: (Change(two, one, three),)})
    text = restore_text(result)
    assert all(char.isprintable() or char == "\n" for char in text)
    assert not any(line.startswith("PASS  trust") for line in text.splitlines())
    page = restore_html(result, datetime(2026, 11, 30, tzinfo=UTC))
    assert "<script>alert" not in page
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202e]", page)
    assert json.loads(restore_line(result))["outcome"] == result.outcome
    assert "\n" not in restore_line(result)
