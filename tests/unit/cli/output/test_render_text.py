"""What render says that it did."""

from pathlib import Path

from meshinstall.cli.output.render_text import Written, render_text
from meshinstall.gitops.record import Changes


def test_files_that_go_are_not_counted_as_written() -> None:
    changes = Changes(created=("a",), changed=("b", "c"), removed=("d",), foreign=(), edited=())
    told = render_text(Written("manifests", Path("mesh"), (), 9, changes, only_checked=False))
    assert told.splitlines()[-1] == "mesh: 3 of 9 files written, 1 removed; "
    told = render_text(Written("manifests", Path("mesh"), (), 9, changes, only_checked=True))
    assert told.splitlines()[-1] == "mesh: 4 of 9 files differ; "
