"""Pages whose commands are run: what is a command, what it must print, and what fails."""

import os
from pathlib import Path

import pytest

from tests.cluster import walk

PAGE = """# Page

## Other

```sh
false
```

## Steps

```sh
name=ann
cat > file <<'EOF'
hello
EOF
```

```
$ cat file; echo "$name on 8765"
hello
[…]
$ false
```

## Later

```sh
false
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "page.md").write_text(PAGE)
    return tmp_path / "page.md"


def test_all_commands_of_a_section_are_run_by_one_shell_in_their_order(page: Path, tmp_path: Path) -> None:
    found = walk.pieces(page, "Steps")
    assert [(piece.commands[0], piece.told) for piece in found] == [
        ("name=ann", ()),
        ('cat file; echo "$name on 8765"', ("hello",)),
        ("false", ()),
    ]
    printed = walk.run(found[:2], tmp_path, os.environ, {"8765": "7001"})
    assert printed == ["", "hello\nann on 7001\n"]
    walk.compare(found[:2], printed, {"8765": "7001"})


def test_a_command_that_shows_nothing_has_to_succeed(page: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        walk.run(walk.pieces(page, "Steps"), tmp_path, os.environ, {})


def test_what_a_page_shows_and_nobody_printed_is_named(page: Path) -> None:
    with pytest.raises(AssertionError, match="lacks: hello"):
        walk.compare(walk.pieces(page, "Steps")[:2], ["", "good-bye\n"], {})
