"""YAML with positions: what is refused, and where each key stands."""

from typing import Any

import pytest

from meshinstall.config.source import MAX_BYTES, Document, parse, read


def parsed(text: str) -> tuple[Document, list[str]]:
    problems: list[Any] = []
    document = parse(text, "a.yaml", problems)
    return document, [str(problem) for problem in problems]


def test_every_key_and_list_item_has_its_place() -> None:
    document, problems = parsed("a: 1\nb:\n  c: [x, {d: 2}]\n")
    assert not problems
    assert document.values == {"a": 1, "b": {"c": ["x", {"d": 2}]}}
    assert document.positions == {
        ("a",): (1, 1),
        ("b",): (2, 1),
        ("b", "c"): (3, 3),
        ("b", "c", "0"): (3, 7),
        ("b", "c", "1"): (3, 10),
        ("b", "c", "1", "d"): (3, 11),
    }


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_an_empty_file_is_an_empty_map(text: str) -> None:
    assert parsed(text) == (Document("a.yaml"), [])


def test_anchors_aliases_and_merge_keys_work() -> None:
    document, problems = parsed("a: &a {x: 1, z: 1}\nb:\n  <<: *a\n  z: 2\nc: *a\n")
    assert not problems
    assert document.values["b"] == {"x": 1, "z": 2}
    assert document.values["c"] == {"x": 1, "z": 1}


def test_of_several_merged_maps_the_first_wins() -> None:
    document, problems = parsed("a: &a {x: 1}\nb: &b {x: 2, z: 2}\nc: {<<: [*a, *b]}\n")
    assert not problems
    assert document.values["c"] == {"x": 1, "z": 2}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcde", "bcdef", strict=True))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 1\na: 2\n", "a.yaml:3:1: duplicate key 'a' (first on line 1)"),
        ("a: b: c\n", "a.yaml:1:5: not valid YAML: mapping values are not allowed in this context"),
        ("a: !!python/name:os.system x\n", "a.yaml:1:4: the tag tag:yaml.org,2002:python/name:os.system is not allowed"),
        ("- a\n", "a.yaml:1:1: must be a map of keys and values"),
        ("a: 1\n---\nb: 1\n", "a.yaml:2:1: a second YAML document"),
        ("a: *b\n", "a.yaml:1:4: the alias *b has no anchor before it"),
        ("a: &a {b: *a}\n", "a.yaml:1:11: the alias *a has no anchor before it"),
        ("? [a]\n: b\n", "a.yaml:1:3: a key must be text"),
        ("1: a\n", "a.yaml:1:1: the key 1 is not text"),
        ("a: yes\n", "a.yaml:1:4: yes is text in YAML 1.2 but true or false in YAML 1.1"),
        ("a: .inf\n", "a.yaml:1:4: .inf is not a finite number"),
        ("a: {<<: 1}\n", "a.yaml:1:5: << accepts only maps"),
        ("a: \x01\n", "a.yaml: not valid YAML: control characters are not allowed"),
        (f"a: {'[' * 60}\n", "a.yaml:1:54: nested deeper than 50 levels"),
        (BOMB, "a.yaml:5:17: more than 50000 values after aliases are expanded"),
    ],
)
def test_what_is_refused_has_a_place(text: str, problem: str) -> None:
    _, problems = parsed(text)
    assert problems == [problem]


def test_several_mistakes_are_found_at_once() -> None:
    _, problems = parsed("a: yes\na: 1\nb: !x 1\n")
    assert [problem.split(": ")[0] for problem in problems] == ["a.yaml:1:4", "a.yaml:2:1", "a.yaml:3:4"]


def test_files_are_bounded_and_must_be_text(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("files")
    (folder / "large.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    (folder / "binary.yaml").write_bytes(b"a: \xff")
    problems: list[Any] = []
    for name in ("large.yaml", "binary.yaml", "missing.yaml", "."):
        read(folder / name, name, problems)
    assert [str(problem) for problem in problems] == [
        "large.yaml: larger than 1024 KiB",
        "binary.yaml: is not UTF-8 text (byte 3)",
        "missing.yaml: there is no such file",
        ".: there is no such file",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"a: {'9' * 5000}\n", f"a.yaml:1:4: {'9' * 40}... is an integer of more than 64 bits, which helm does not keep exactly"),
        (
            "a: -9223372036854775809\n",
            "a.yaml:1:4: -9223372036854775809 is an integer of more than 64 bits, which helm does not keep exactly",
        ),
        (
            "".join(f"%TAG !a{number}! b\n" for number in range(50_000)),
            "a.yaml: not valid YAML: it has more than 100 lines that begin with %",
        ),
    ],
)
def test_numbers_and_directives_are_bounded(text: str, problem: str) -> None:
    assert parsed(text)[1] == [problem]
