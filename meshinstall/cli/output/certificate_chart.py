"""When certificates end, drawn: one bar each on a logarithmic scale from an hour to ten years."""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from meshinstall.cli.output.markup import Html, join, tag
from meshinstall.model.mesh import CertificateFacts

# Drawing units.
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 860, 330, 110, 24, 30
# Certificates that are drawn, the first to end first.
_MOST = 30
_FIRST, _LAST = timedelta(hours=1), timedelta(days=3650)
_TICKS = {
    "1 h": timedelta(hours=1),
    "1 day": timedelta(days=1),
    "1 week": timedelta(days=7),
    "30 days": timedelta(days=30),
    "1 year": timedelta(days=365),
    "10 years": timedelta(days=3650),
}
# An authority's last 60 days, and the last quarter of a workload's certificate, are the time to act.
_AUTHORITY_DAYS, _SHARE = timedelta(days=60), 0.25
_LONGEST = 44


def chart(certificates: Iterable[tuple[str, CertificateFacts]], now: datetime) -> Html:
    """An SVG with a text for those who do not see it."""
    ordered = sorted(certificates, key=lambda pair: (pair[1].not_after, pair[0]))
    shown = ordered[:_MOST]
    height = _TOP + _ROW * len(shown) + 10
    label = f"When {len(ordered)} certificates expire; the first is {ordered[0][0]} on {ordered[0][1].not_after:%Y-%m-%d %H:%M} UTC."
    rows = [_row(at, name, certificate, now) for at, (name, certificate) in enumerate(shown)]
    drawing = tag("svg", _scale(height), *rows, viewBox=f"0 0 {_WIDTH} {height}", role="img", aria_label=label)
    more = f" The {_MOST} that expire first are drawn." if len(ordered) > _MOST else ""
    return join(tag("p", label + more), tag("div", drawing, class_="scroll"))


def _scale(height: int) -> Html:
    ticks = []
    for name, after in _TICKS.items():
        x = _x(after)
        ticks += [
            tag("line", x1=x, x2=x, y1=_TOP - 6, y2=height - 4),
            tag("text", name, x=x, y=_TOP - 12, text_anchor="middle", class_="soft"),
        ]
    return join(*ticks)


def _row(at: int, name: str, certificate: CertificateFacts, now: datetime) -> Html:
    y = _TOP + at * _ROW
    left = certificate.not_after - now
    short = name if len(name) <= _LONGEST else f"…{name[-_LONGEST + 1 :]}"
    width = max(4.0, round(_x(left) - _LEFT, 1))
    return join(
        tag("text", short, x=_LEFT - 10, y=y + 15, text_anchor="end"),
        tag("rect", x=_LEFT, y=y + 4, width=width, height=_ROW - 9, rx=3, class_=f"bar {_state(certificate, now)}".strip()),
        tag("text", f"{certificate.not_after:%Y-%m-%d}", x=_WIDTH - _RIGHT + 28, y=y + 15),
    )


def _state(certificate: CertificateFacts, now: datetime) -> str:
    left = certificate.not_after - now
    if left <= timedelta():
        return "over"
    limit = _AUTHORITY_DAYS if certificate.is_authority else (certificate.not_after - certificate.not_before) * _SHARE
    return "near" if left < limit else ""


def _x(left: timedelta) -> float:
    held = min(max(left, _FIRST), _LAST)
    share = math.log(held / _FIRST) / math.log(_LAST / _FIRST)
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)
