"""The action ``preview`` as a runner runs it, with GitHub's API on loopback; what meshinstall prints is given.

tests/cli/test_preview.py runs it with meshinstall itself.
"""

import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
import yaml

from meshinstall.cli.output.preview_text import MARKER
from meshinstall.model.diff import Concern
from tests.contracts.github import BOT, STRANGER, TOKEN, GitHub, Step, run_action
from tests.contracts.servers import serving

ACTION = Path(__file__).parents[2] / ".github/actions/preview"
TEXT = f"{MARKER}\n### 1 of 1 site changes\n"
Act = Callable[..., Step]


@pytest.fixture
def github() -> Iterator[GitHub]:
    """Nobody has commented yet."""
    found = GitHub()
    yield found
    assert found.refused == []


@pytest.fixture
def act(github: GitHub, tmp_path: Path) -> Iterator[Act]:
    """Runs the action in a job of pull request 7; ``status``, ``text`` and ``log`` are what meshinstall leaves."""
    workspace = tmp_path / "work"
    (workspace / "bin").mkdir(parents=True)
    (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 7}}))

    with serving(github.handler()) as address:

        def one(*, status: int = 3, text: str = TEXT, log: str = "", job: dict[str, str] | None = None, **inputs: str) -> Step:
            (tmp_path / "text").write_text(text)
            (tmp_path / "log").write_text(log)
            program = workspace / "bin/meshinstall"
            program.write_text(
                f'#!/bin/bash\nprintf "%s\\n" "$@" > {tmp_path}/words\nenv > {tmp_path}/env\ncat {tmp_path}/log >&2\ncat {tmp_path}/text\n'
                f"exit {status}\n"
            )
            program.chmod(0o755)
            variables = {
                "PATH": f"{program.parent}:{os.environ['PATH']}",
                "GITHUB_WORKSPACE": str(workspace),
                "GITHUB_EVENT_NAME": "pull_request",
                "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
                "GITHUB_BASE_REF": "main",
                "GITHUB_REPOSITORY": "shop/mesh",
                "GITHUB_SHA": "c" * 40,
                "GITHUB_API_URL": f"http://{address}",
                "GITHUB_GRAPHQL_URL": f"http://{address}/graphql",
                "ACTIONS_RUNTIME_TOKEN": "of-the-runner",
                "no_proxy": "*",
                **(job or {}),
            }
            done = run_action(ACTION, {name.replace("_", "-"): value for name, value in inputs.items()}, variables, tmp_path)
            assert TOKEN not in done.log + done.summary + done.output
            return done

        yield one


def words(tmp_path: Path) -> list[str]:
    return (tmp_path / "words").read_text().splitlines()


def test_the_first_run_comments_and_the_second_updates(act: Act, github: GitHub) -> None:
    github.add(STRANGER, "looks good")
    done = act()
    assert (done.status, done.summary, done.output, done.commands) == (0, TEXT, "status=3\n", [])
    assert github.bodies(BOT) == [TEXT.rstrip("\n")]
    assert act(status=0, text=f"{MARKER}\n### No site changes\n").status == 0
    assert github.bodies(BOT) == [f"{MARKER}\n### No site changes"]
    assert github.bodies(STRANGER) == ["looks good"]
    assert github.asked[-1] == "PATCH /repos/shop/mesh/issues/comments/1001"


def test_a_comment_of_somebody_else_with_the_mark_is_not_touched(act: Act, github: GitHub) -> None:
    github.add(STRANGER, f"{MARKER}\nall is well")
    github.add(BOT, f"somebody wrote {MARKER}")
    assert act().status == 0
    assert github.bodies(STRANGER) == [f"{MARKER}\nall is well"]
    assert github.bodies(BOT) == [f"somebody wrote {MARKER}", TEXT.rstrip("\n")]


@pytest.mark.parametrize("before", [0, 99, 100, 250])
def test_its_comment_is_found_on_each_page(act: Act, github: GitHub, before: int) -> None:
    for number in range(before):
        github.add(STRANGER, f"{MARKER} {number}")
    github.add(BOT, f"{MARKER}\nold")
    for _ in range(120):
        github.add(STRANGER, "more")
    assert act().status == 0
    assert github.bodies(BOT) == [TEXT.rstrip("\n")]
    assert len([one for one in github.asked if one.startswith("GET")]) == before // 100 + 1


def test_a_full_last_page_is_the_last(act: Act, github: GitHub) -> None:
    for _ in range(100):
        github.add(STRANGER, "x")
    assert act().status == 0
    assert len([one for one in github.asked if one.startswith("GET")]) == 1


@pytest.mark.parametrize("rights", ["read", "none"])
@pytest.mark.parametrize(("status", "expected"), [(3, 0), (4, 4)])
def test_a_token_that_only_reads_leaves_the_summary_and_a_notice(act: Act, github: GitHub, rights: str, status: int, expected: int) -> None:
    github.may_write, github.may_read = False, rights == "read"
    done = act(status=status)
    assert done.status == expected
    assert done.summary.startswith(TEXT)
    assert github.comments == []
    assert done.commands[-1].startswith("::notice title=meshinstall preview::no comment, because this job's token may not write one")
    assert "Resource not accessible by integration" in done.commands[-1]


@pytest.mark.parametrize(
    ("method", "answer", "told"),
    [
        ("GET", (403, {"X-RateLimit-Remaining": "0"}, b'{"message": "API rate limit exceeded"}'), "403 API rate limit exceeded"),
        ("POST", (403, {"Retry-After": "60"}, b'{"message": "You have exceeded a secondary rate limit"}'), "403 You have exceeded"),
        ("GET", (500, {}, b"<html>"), "500"),
        ("GET", (401, {}, b'{"message": "Bad credentials"}'), "401 Bad credentials"),
        ("GET", (200, {}, b"{}"), "not a list of comments"),
        ("GET", (200, {}, b"nonsense"), "Expecting value"),
        ("GET", (200, {}, b"[" * 200_000), "recursion"),
        ("POST", (500, {}, b"[" * 90_000), "500"),
        ("GET", (200, {}, b"[" + b" " * (33 * 1024 * 1024) + b"]"), "longer than"),
        ("GET", (302, {"Location": "http://127.0.0.1:1/elsewhere"}, b""), "302"),
        ("POST", (422, {}, b'{"message": "a\\n::set-env name=x::%0Ay"}'), "422 a ::set-env name=x::%250Ay"),
    ],
)
def test_what_github_does_wrong_fails_the_step_by_its_name(
    act: Act, github: GitHub, method: str, answer: tuple[int, dict[str, str], bytes], told: str
) -> None:
    github.instead[method] = answer
    done = act()
    assert done.status == 1
    (error,) = done.commands
    assert error.startswith(f"::error title=meshinstall preview::{method} http://127.0.0.1:")
    assert told in error
    assert done.summary.startswith(TEXT)
    assert "Traceback" not in done.log


def test_comments_of_which_nobody_knows_what_they_are_are_left_alone(act: Act, github: GitHub) -> None:
    odd = [None, 3, {}, {"id": "1", "user": {"id": BOT}, "body": MARKER}, {"id": 2, "user": None, "body": MARKER}]
    github.instead["GET"] = (200, {}, json.dumps([*odd, {"id": 3, "user": {"id": BOT}, "body": None}]).encode())
    assert act().status == 0
    assert github.asked[-1] == "POST /repos/shop/mesh/issues/7/comments"


def test_comments_without_an_end_are_an_error(act: Act, github: GitHub) -> None:
    github.instead["GET"] = (200, {"Link": '<https://x.invalid>; rel="next"'}, b"[]")
    done = act()
    assert done.status == 1
    assert "more than 5000 comments" in done.log
    assert len(github.asked) == 51


@pytest.mark.parametrize(
    ("status", "expected", "told"),
    [
        (0, 0, ""),
        (3, 0, ""),
        (4, 4, "a row of a table fails after the change, or the change has a consequence of fail-on: see the summary"),
        (5, 5, "a row of a table is undecided after the change: see the summary"),
    ],
)
def test_the_status_of_the_preview_is_the_status_of_the_step(act: Act, github: GitHub, status: int, expected: int, told: str) -> None:
    done = act(status=status)
    assert (done.status, done.output) == (expected, f"status={status}\n")
    assert done.commands == ([f"::error title=meshinstall preview::{told}"] if told else [])
    assert github.bodies(BOT) == [TEXT.rstrip("\n")]


@pytest.mark.parametrize("status", [1, 2, 77])
def test_a_preview_that_fails_does_not_leave_the_last_one_as_if_it_were_new(act: Act, github: GitHub, status: int) -> None:
    github.add(BOT, TEXT)
    done = act(status=status, text="half of", log="error: meshinstall.yaml:6:23: unknown key 'profil'\n")
    assert done.status == status
    (body,) = github.bodies(BOT)
    assert body.startswith(f"{MARKER}\n### No preview of `cccccccccccc`\n")
    assert "No preview" in done.summary
    assert "unknown key 'profil'" in done.log


def test_text_of_strangers_in_the_log_is_no_command(act: Act) -> None:
    log = "::error::x\n  ::add-mask::e\n##[error]y\n::stop-commands::pwn\n::pwn::\n::set-output name=status::0\r::warning::z\n@everyone\n"
    done = act(status=2, text="", log=log)
    assert done.commands == ["::error title=meshinstall preview::meshinstall preview ended with status 2: see the log"]
    assert "::set-output name=status::0" in done.log
    assert done.output == "status=2\n"


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "en_US.ISO-8859-1"])
def test_text_of_any_kind_arrives_in_any_locale(act: Act, github: GitHub, locale: str) -> None:
    text = f"{MARKER}\n`a` → `ä 🙂`"
    done = act(status=4, text=text, log="4 → ä 🙂\n", job={"LC_ALL": locale})
    assert (done.status, done.summary, github.bodies(BOT)) == (4, f"{text}\n", [text])
    assert "4 → ä 🙂" in done.log


def test_a_program_that_does_not_run_is_named(act: Act, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "meshinstall").write_text("#!/nowhere/python\n")
    (broken / "meshinstall").chmod(0o755)
    done = act(job={"PATH": f"{broken}:{os.environ['PATH']}"})
    assert done.status == 1
    assert f"{broken}/meshinstall does not run: No such file or directory" in done.commands[0]
    assert "Traceback" not in done.log


def test_without_comment_nothing_is_asked(act: Act, github: GitHub) -> None:
    done = act(comment="false")
    assert (done.status, github.asked) == (0, [])
    assert done.summary.startswith(TEXT)


def test_inputs_become_options_each_in_a_word(act: Act, tmp_path: Path) -> None:
    hostile = "$(touch pwned) `id` '\"; --head"
    done = act(base=hostile, env="prod, dev\nstage,", cloud="eks", test="a table.yaml\n\n  b.yaml\n", fail_on=" wider, weaker\n")
    assert done.status == 0
    assert words(tmp_path) == [
        *("preview", f"--base={hostile}", "--output=markdown", "--env=prod", "--env=dev", "--env=stage", "--cloud=eks"),
        *("--test=a table.yaml", "--test=b.yaml", "--fail-on=wider", "--fail-on=weaker"),
    ]
    assert not (tmp_path / "work/pwned").exists()


def test_the_base_is_the_branch_of_the_pull_request_and_no_tag(act: Act, tmp_path: Path) -> None:
    assert act(job={"GITHUB_BASE_REF": "--head=x/main"}).status == 0
    assert words(tmp_path) == ["preview", "--base=refs/remotes/origin/--head=x/main", "--output=markdown"]


def test_meshinstall_gets_no_token(act: Act, tmp_path: Path) -> None:
    assert act().status == 0
    given = (tmp_path / "env").read_text()
    assert "GITHUB_BASE_REF=main" in given
    assert TOKEN not in given
    assert "of-the-runner" not in given


def test_no_module_of_the_change_is_loaded(act: Act, tmp_path: Path) -> None:
    for name in ("json.py", "secrets.py", "sitecustomize.py"):
        (tmp_path / "work" / name).write_text("raise SystemExit(99)\n")
    assert act(job={"PYTHONPATH": str(tmp_path / "work")}).status == 0


@pytest.mark.parametrize("event", ["pull_request_target", "workflow_run", "issue_comment", "push", ""])
def test_other_events_are_refused_before_anything_is_run(act: Act, github: GitHub, tmp_path: Path, event: str) -> None:
    done = act(job={"GITHUB_EVENT_NAME": event})
    assert (done.status, github.asked, (tmp_path / "words").exists()) == (1, [], False)
    assert f"the event is {event or 'unknown'}: run this action on pull_request alone" in done.commands[0]


@pytest.mark.parametrize(
    ("env", "inputs", "told"),
    [
        ({"GITHUB_EVENT_PATH": "/dev/null"}, {}, "does not lead to the event of a pull request"),
        ({"GITHUB_REPOSITORY": "shop/mesh/../.."}, {}, "GITHUB_REPOSITORY is not OWNER/NAME"),
        ({"GITHUB_API_URL": "http://api.example.com"}, {}, "http://api.example.com is not https"),
        ({"GITHUB_GRAPHQL_URL": "file:///etc/passwd"}, {}, "file:///etc/passwd is not https"),
        ({"GITHUB_BASE_REF": ""}, {}, "GITHUB_BASE_REF is not set"),
        ({"PATH": "/usr/bin:/bin"}, {}, "meshinstall is not on PATH"),
        ({}, {"comment": "yes"}, "comment is neither true nor false"),
        ({}, {"text": "### no mark"}, "another Markdown than this action knows"),
        ({}, {"text": f"{MARKER}\n{'x' * 65_537}"}, "another Markdown than this action knows"),
    ],
)
def test_what_is_wrong_is_named(act: Act, github: GitHub, env: dict[str, str], inputs: dict[str, str], told: str) -> None:
    done = act(job=env, **inputs)
    assert (done.status, github.comments) == (1, [])
    assert told in done.commands[-1]
    assert "Traceback" not in done.log


@pytest.mark.parametrize("by", ["its authority", "another one"])
def test_github_proves_who_it_is(act: Act, github: GitHub, tmp_path: Path, by: str) -> None:
    is_trusted = by == "its authority"
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    (authority if is_trusted else trustme.CA()).cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), github.handler())
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    url = f"https://127.0.0.1:{server.server_port}"
    try:
        env = {"GITHUB_API_URL": url, "GITHUB_GRAPHQL_URL": f"{url}/graphql", "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
        done = act(job=env)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert done.status == (0 if is_trusted else 1)
    assert len(github.comments) == int(is_trusted)
    assert ("CERTIFICATE_VERIFY_FAILED" in done.log) is not is_trusted


def test_the_action_says_what_the_product_says() -> None:
    script = (ACTION / "preview.py").read_text()
    assert f'MARKER = "{MARKER}"' in script
    told = yaml.safe_load((ACTION / "action.yml").read_text())
    named = told["inputs"]["fail-on"]["description"].partition("such as: ")[2].partition(".")[0]
    assert set(named.split(", ")) <= set(Concern)
