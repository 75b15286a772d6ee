"""A preview of a change: for a terminal, for a comment in a pull request, for programs, and as JUnit."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from meshinstall.cli.output.authz_text import FAIL, PASS, result_of, status_of
from meshinstall.cli.output.plan_diff import diff_json, diff_lines, quiet_line, split, summary_json, summary_lines
from meshinstall.cli.output.plan_markdown import code, fitting, object_block, summary_list
from meshinstall.errors import ExitStatus, safe
from meshinstall.model.diff import Concern
from meshinstall.model.foreign_text import for_log, line
from meshinstall.model.preview import Preview, SitePreview, TriedTwice

SCHEMA = "meshinstall.dev/preview/v1"
# By which a pipeline finds its comment again.
MARKER = "<!-- meshinstall-preview -->"
_JUDGED = (Concern.WEAKER, Concern.WIDER)


def status(found: Preview, fail_on: Iterable[Concern] = ()) -> ExitStatus:
    """4 when a row fails after the change, or the change has one of these concerns; 5 when a row is undecided, 3 when anything changes."""
    tests = status_of(row.after for site in found.sites for row in site.tests)
    if tests is ExitStatus.VIOLATION or failing(found, fail_on):
        return ExitStatus.VIOLATION
    if tests is not ExitStatus.DONE:
        return tests
    return ExitStatus.CHANGES_PENDING if found.notes or not all(site.is_same for site in found.sites) else ExitStatus.DONE


def failing(found: Preview, fail_on: Iterable[Concern]) -> tuple[Concern, ...]:
    """Those of these concerns that the change has, each once."""
    told = {one.concern for one in (*found.notes, *(one for site in found.sites for one in site.summary))}
    return tuple(concern for concern in dict.fromkeys(fail_on) if concern in told)


def preview_text(found: Preview) -> str:
    """For a terminal."""
    lines = [_title(found), *summary_lines(found.notes)]
    for sites in _alike(found.sites):
        one = sites[0]
        names = ", ".join(line(site.site) for site in sites)
        lines += ["", f"{names}: {_versions(one, line)}", *summary_lines(one.summary), *diff_lines(one.changes)]
        lines += [f"  {text}" for site in sites for text in _test_lines(site)]
    return for_log("\n".join([*lines, *_same(found, line)]))


def preview_markdown(found: Preview) -> str:
    """For a comment: at most 60,000 characters, the first line says whose comment it is."""
    lines = [MARKER, f"### {_title(found)}", "", f"{code(found.base[:12])} → {code(found.head[:12])}", "", *summary_list(found.notes)]
    blocks: list[str] = []
    for sites in _alike(found.sites):
        one = sites[0]
        lines += ["", f"#### {', '.join(code(site.site) for site in sites)}: {_versions(one, code)}", "", *summary_list(one.summary)]
        lines += [f"- {code(text)}" for site in sites for text in _test_lines(site)]
        told, quiet = split(one.changes)
        blocks += ["", f"#### {', '.join(code(site.site) for site in sites)}, object by object", ""] if told else []
        blocks += [f"{object_block(change)}\n" for change in told]
        blocks += [quiet_line(quiet)] if quiet else []
    same = [f"\n{text}" for text in _same(found, code)]
    return safe(fitting([*lines, *same, *blocks], "meshinstall preview"))


def preview_json(found: Preview) -> dict[str, Any]:
    """The document that docs/schemas/preview.json describes."""
    return {
        "schema": SCHEMA,
        "base": found.base,
        "head": found.head,
        "notes": summary_json(found.notes),
        "sites": [
            {
                "site": site.site,
                "istioBefore": site.before or None,
                "istioAfter": site.after or None,
                "summary": summary_json(site.summary),
                "diff": diff_json(site.changes),
                "tests": [_test_json(row) for row in site.tests],
            }
            for site in found.sites
        ],
    }


def preview_junit(found: Preview) -> str:
    """What becomes weaker or wider on a site is a failure, a row that fails too; one that is undecided is an error."""
    suites = Element("testsuites", {"name": "meshinstall preview"})
    for site in found.sites:
        suite = SubElement(suites, "testsuite", {"name": safe(site.site)})
        for concern in _JUDGED:
            case = SubElement(suite, "testcase", classname=safe(site.site), name=f"nothing becomes {concern}")
            texts = [one.text for one in (*found.notes, *site.summary) if one.concern is concern]
            if texts:
                SubElement(case, "failure", message=safe(line(texts[0]))).text = safe("\n".join(texts))
        for row in site.tests:
            result = result_of(row.after)
            case = SubElement(suite, "testcase", classname=safe(site.site), name=safe(row.after.expectation.name))
            if result != PASS:
                SubElement(case, "failure" if result == FAIL else "error", message=safe(_test_line(row)))
        _count(suite, [suite])
    _count(suites, list(suites))
    indent(suites)
    return tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _count(element: Element, suites: list[Element]) -> None:
    """Totals of an element, from the cases of its suites."""
    cases = [case for suite in suites for case in suite.iter("testcase")]
    element.set("tests", str(len(cases)))
    for name, tag in (("failures", "failure"), ("errors", "error")):
        element.set(name, str(sum(case.find(tag) is not None for case in cases)))


def _title(found: Preview) -> str:
    count = sum(not site.is_same for site in found.sites)
    many = "site" if len(found.sites) == 1 else "sites"
    return f"{count} of {len(found.sites)} {many} {'changes' if count == 1 else 'change'}" if count else "No site changes"


def _versions(site: SitePreview, shown: Callable[[str], str]) -> str:
    before, after = shown(site.before), shown(site.after)
    if not before or not after:
        return f"new, Istio {after}" if after else f"no longer described (Istio {before})"
    return f"Istio {before}{f' → {after}' if before != after else ''}"


def _alike(sites: Iterable[SitePreview]) -> list[list[SitePreview]]:
    """Sites that change, those together that change in the same way."""
    groups: list[list[SitePreview]] = []
    for site in sites:
        if site.is_same and not list(_test_lines(site)):
            continue
        same = next((one for one in groups if replace(one[0], site="", tests=()) == replace(site, site="", tests=())), None)
        if same is None:
            groups.append([site])
        else:
            same.append(site)
    return groups


def _same(found: Preview, shown: Callable[[str], str]) -> list[str]:
    names = [shown(site.site) for site in found.sites if site.is_same]
    return [f"nothing changes on {', '.join(names)}"] if names else []


def _test_lines(site: SitePreview) -> Iterator[str]:
    """Rows that do not pass, and those whose result changes."""
    for row in site.tests:
        before = result_of(row.before) if row.before else ""
        if result_of(row.after) != PASS or before not in {"", PASS}:
            yield f"{site.site}: {_test_line(row)}"


def _test_line(row: TriedTwice) -> str:
    one = row.after
    was = f", was {result_of(row.before)}" if row.before and result_of(row.before) != result_of(one) else ""
    why = line(": ".join(text for text in (one.verdict.place, one.verdict.policy, one.verdict.reason) if text))
    asked = one.expectation
    told = f"{result_of(one)}{was} {asked.place}: {asked.name}: expected {asked.expected}, is {one.verdict.outcome}"
    return f"{told}{f' ({why})' if why else ''}"


def _test_json(row: TriedTwice) -> dict[str, Any]:
    one = row.after
    return {
        "name": one.expectation.name,
        "place": one.expectation.place,
        "before": result_of(row.before) if row.before else None,
        "after": result_of(one),
        "expected": one.expectation.expected,
        "outcome": one.verdict.outcome,
        "reason": one.verdict.reason,
    }
