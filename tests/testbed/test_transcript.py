"""The transcript of a page is what was printed, in its order."""

from pathlib import Path

from tests.cluster.transcript import first_missing, transcript

PAGE = """\
# Page

## Other
```
no
```
## One run

Words.

```
$ meshinstall upgrade
[…]
✓ stage crds: done after 25.4 s

  istio: {version: "1.31.0"} (meshinstall.yaml:3)
```
"""


def test_the_block_below_the_heading_counts_without_commands(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert transcript(page, "One run") == ["✓ stage crds: done after 25.4 s", '  istio: {version: "1.31.0"} (meshinstall.yaml:3)']


def test_lines_must_be_there_in_their_order_but_for_times_and_places() -> None:
    told = ["✓ stage crds: done after 25.4 s", "✓ stage tags: done after 1.0 s", "done (meshinstall.yaml:3)"]
    printed = "x\n✓ stage crds: done after 3.1 s\ny\n✓ stage tags: done after 2.2 s\ndone (/tmp/a/meshinstall.yaml:7)\n"
    assert first_missing(told, printed) == ""
    assert first_missing(told, "\n".join(reversed(printed.splitlines()))) == told[1]
    assert first_missing([*told, "more"], printed) == "more"
