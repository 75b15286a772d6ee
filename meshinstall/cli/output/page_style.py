"""The style sheet of all pages: system fonts, light and dark, and paper."""

STYLE = """
:root { --ink: #1c2430; --soft: #566173; --paper: #fff; --card: #f6f7f9; --line: #d9dee5;
  --fail: #b3261e; --fail-bg: #fdeceb; --open: #855300; --open-bg: #fff4dc; --pass: #1b6e3c; --pass-bg: #e8f5ec; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --soft: #a4afbf; --paper: #14181e; --card: #1d232c; --line: #353e4b;
    --fail: #ff8a80; --fail-bg: #3b1a19; --open: #ffca66; --open-bg: #372a10; --pass: #7fd8a0; --pass-bg: #14301f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main, header, footer { max-width: 72rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2rem; }
h1 { font-size: 1.15rem; margin: 0 0 .75rem; color: var(--soft); font-weight: 600; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 60rem; }
code, pre, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .87em; }
pre { margin: .6rem 0 0; padding: .7rem .9rem; background: var(--paper); border: 1px solid var(--line); border-radius: 6px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.banner { border-radius: 10px; padding: 1.1rem 1.4rem; border-left: 8px solid; }
.banner strong { font-size: 1.9rem; line-height: 1.2; display: block; letter-spacing: .01em; }
.FAIL { color: var(--fail); background: var(--fail-bg); border-color: var(--fail); }
.NOT-PROVEN { color: var(--open); background: var(--open-bg); border-color: var(--open); }
.PASS { color: var(--pass); background: var(--pass-bg); border-color: var(--pass); }
.banner p { color: var(--ink); margin-bottom: 0; }
.pill { display: inline-block; padding: .05rem .55rem; border-radius: 999px; font-size: .8rem; font-weight: 650; white-space: nowrap; }
.terms { margin-top: 1rem; font-size: .87rem; } .terms th { width: 8rem; }
.soft { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem; }
th, td { text-align: left; vertical-align: top; padding: .42rem .7rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { font-size: .82rem; color: var(--soft); font-weight: 600; }
tbody th { color: var(--ink); font-size: inherit; }
td.FAIL, td.NOT-PROVEN, td.PASS { border-color: var(--line); font-weight: 650; }
td.count { text-align: right; font-variant-numeric: tabular-nums; }
th.count { text-align: right; }
td.zero { color: var(--soft); background: none; }
article { background: var(--card); border: 1px solid var(--line); border-left: 5px solid var(--line); border-radius: 8px;
  padding: .9rem 1.1rem; margin: .8rem 0; break-inside: avoid; }
article.error { border-left-color: var(--fail); } article.warning { border-left-color: var(--open); }
article h3 .code { margin-right: .6rem; color: var(--soft); }
details { border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0; background: var(--card); }
summary { cursor: pointer; padding: .55rem .9rem; display: flex; flex-wrap: wrap; gap: .3rem .8rem; align-items: baseline; }
summary::before { content: "▸"; color: var(--soft); } details[open] > summary::before { content: "▾"; }
summary .name { font-weight: 600; overflow-wrap: anywhere; }
details > div { padding: 0 .9rem .7rem; }
svg { width: 100%; min-width: 42rem; height: auto; display: block; font-size: 12px; }
svg text { fill: var(--ink); } svg .soft { fill: var(--soft); } svg line { stroke: var(--line); }
svg .bar { fill: var(--pass); } svg .bar.near { fill: var(--open); } svg .bar.over { fill: var(--fail); }
ul { padding-left: 1.2rem; margin: .4rem 0; } li { overflow-wrap: anywhere; }
footer { margin-top: 3rem; padding-bottom: 2rem; color: var(--soft); font-size: .87rem; }
@media (max-width: 40rem) { th, td { padding: .35rem .4rem; } .wide { display: none; } .banner strong { font-size: 1.5rem; } }
@media print { summary::before { content: none; } svg { min-width: 0; }
  :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; --card: #fff; --line: #bbb;
    --fail: #b3261e; --fail-bg: #fff; --open: #855300; --open-bg: #fff; --pass: #1b6e3c; --pass-bg: #fff; }
  body { font-size: 10.5pt; } details::details-content { content-visibility: visible; block-size: auto; }
  .pill, .banner { border: 1px solid; } .banner { border-left-width: 8px; } h2 { break-after: avoid; } tr { break-inside: avoid; } }
"""
