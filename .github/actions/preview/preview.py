"""Runs ``meshinstall preview`` for a pull request: into the job's summary, and into one comment that the next run updates.

It needs Python alone. The token is in the environment, and goes nowhere but to GitHub's API. What meshinstall prints holds text of
strangers: in the log no command of a workflow is read from it.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import urlsplit

# The first line of the comment; meshinstall begins its Markdown with it.
MARKER = "<!-- meshinstall-preview -->"
# Exit statuses of a preview that was made: nothing changes, something does, a violation, a row is undecided.
_MADE = frozenset({0, 3, 4, 5})
_PASSED = frozenset({0, 3})
_WHY = {
    4: "a row of a table fails after the change, or the change has a consequence of fail-on: see the summary",
    5: "a row of a table is undecided after the change: see the summary",
}
# GitHub refuses a comment above 65,536 characters.
_LONGEST_COMMENT = 65_536
_PAGE = 100
# Pages that are read, and bytes of one: 100 comments of 65,536 characters, each of 4 bytes, fit.
_MOST_PAGES, _LONGEST_ANSWER = 50, 32 * 1024 * 1024
_SECONDS = 30
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# What an answer raises that is cut off, or that is not JSON.
_UNREADABLE = (OSError, HTTPException, ValueError, RecursionError)
_TOKEN = re.compile(r"[!-~]+")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


class PreviewError(Exception):
    """What stops this step."""


class ForbiddenError(PreviewError):
    """The token may not read or write comments."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the token to another host."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow none: it is an error then."""


@dataclass(frozen=True)
class Api:
    """GitHub's API, and the token of the job, which no message shows."""

    rest: str
    graphql: str
    token: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"Api({self.rest})"

    def ask(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> tuple[Any, HTTPMessage]:
        """The answer and its headers; raises ForbiddenError for what the token may not do, PreviewError for everything else."""
        request = urllib.request.Request(url, method=method, data=json.dumps(body).encode() if body is not None else None)  # noqa: S310 - checked
        for name, value in {
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
            "User-Agent": "meshinstall-preview",
            "X-GitHub-Api-Version": "2022-11-28",
        }.items():
            request.add_header(name, value)
        # Of a request that is redirected, or goes through a proxy, such a header goes to GitHub alone.
        request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=_SECONDS) as answer:
                return json.loads(_bounded(answer)), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(method, url, error) from None
        except _UNREADABLE as error:
            raise PreviewError(f"{method} {url}: {getattr(error, 'reason', error)}") from None


def _bounded(answer: IO[bytes]) -> bytes:
    found = answer.read(_LONGEST_ANSWER + 1)
    if len(found) > _LONGEST_ANSWER:
        raise ValueError(f"the answer is longer than {_LONGEST_ANSWER} bytes")
    return found


def _refusal(method: str, url: str, error: urllib.error.HTTPError) -> PreviewError:
    """What an answer of GitHub means; it says 404 where a token may not even know that something is there."""
    try:
        found = json.loads(error.read(_PAGE * 1024))
        said = str(found["message"]) if isinstance(found, dict) and "message" in found else ""
    except _UNREADABLE:
        said = ""
    text = f"{method} {url}: {error.code} {said}".rstrip()
    is_limit = error.headers.get("Retry-After") or error.headers.get("X-RateLimit-Remaining") == "0"
    return ForbiddenError(text) if error.code in {403, 404} and not is_limit else PreviewError(text)


@dataclass(frozen=True)
class PullRequest:
    """Where the comment goes."""

    repository: str
    number: int


def main(env: Mapping[str, str]) -> int:
    """The exit status of the step; raises PreviewError for what stops it."""
    pull = pull_request(env)
    has_comment = _boolean("comment", env.get("PREVIEW_COMMENT", "true"))
    api = open_api(env) if has_comment else None
    status, preview = run(arguments(env), env)
    text = preview or _missing(env)
    _append(_needed(env, "GITHUB_STEP_SUMMARY"), f"{text}\n")
    _append(_needed(env, "GITHUB_OUTPUT"), f"status={status}\n")
    if status not in _PASSED:
        command("error", _WHY.get(status, f"meshinstall preview ended with status {status}: see the log"))
    if api is None:
        return _status(status)
    try:
        told = comment(api, pull, text)
    except ForbiddenError as error:
        told = (
            f"no comment, because this job's token may not write one: the preview is in the job's summary. A pull request of a fork gets \
no other token; for others the job needs permissions: {{pull-requests: write}} ({error})"
        )
        command("notice", told)
    else:
        print(told)
    return _status(status)


def _status(status: int) -> int:
    return 0 if status in _PASSED else status if 0 < status < 256 else 1  # noqa: PLR2004 - what a process can return


def _missing(env: Mapping[str, str]) -> str:
    """The comment where there is no preview: an older one must not stay as if it were of this change."""
    sha = env.get("GITHUB_SHA", "")
    commit = f" of `{sha[:12]}`" if re.fullmatch(r"[0-9a-f]{40,64}", sha) else ""
    return f"{MARKER}\n### No preview{commit}\n\n`meshinstall preview` failed: the log of the job says why.\n"


def pull_request(env: Mapping[str, str]) -> PullRequest:
    """The pull request that the job is for; raises PreviewError for every event but pull_request: others come with rights and secrets."""
    event = env.get("GITHUB_EVENT_NAME", "")
    if event != "pull_request":
        raise PreviewError(
            f"the event is {event or 'unknown'}: run this action on pull_request alone, where changes of strangers get no secret"
        )
    repository = _needed(env, "GITHUB_REPOSITORY")
    if not _REPOSITORY.fullmatch(repository):
        raise PreviewError("GITHUB_REPOSITORY is not OWNER/NAME")
    try:
        number = json.loads(Path(_needed(env, "GITHUB_EVENT_PATH")).read_bytes())["pull_request"]["number"]
    except (OSError, ValueError, KeyError, TypeError):
        raise PreviewError("GITHUB_EVENT_PATH does not lead to the event of a pull request") from None
    if type(number) is not int or number < 1:
        raise PreviewError("the event has no number of a pull request")
    return PullRequest(repository, number)


def open_api(env: Mapping[str, str]) -> Api:
    """GitHub's API as the runner names it; raises PreviewError where the token would go over plain HTTP."""
    rest, graphql = (_needed(env, name).rstrip("/") for name in ("GITHUB_API_URL", "GITHUB_GRAPHQL_URL"))
    for url in (rest, graphql):
        found = urlsplit(url)
        if found.scheme != "https" and not (found.scheme == "http" and found.hostname in _LOOPBACK):
            raise PreviewError(f"{url} is not https")
    token = _needed(env, "GITHUB_TOKEN")
    if not _TOKEN.fullmatch(token):
        # Python's own message would show it.
        raise PreviewError("GITHUB_TOKEN is not a token")
    return Api(rest, graphql, token)


def arguments(env: Mapping[str, str]) -> list[str]:
    """The command line; each value is in one word with its option, so that none becomes an option of its own."""
    base = env.get("PREVIEW_BASE") or f"refs/remotes/origin/{_needed(env, 'GITHUB_BASE_REF')}"
    words = [f"--base={base}", "--output=markdown"]
    words += [f"--env={one}" for one in _words(env.get("PREVIEW_ENV", ""))]
    words += [f"--cloud={one}" for one in _words(env.get("PREVIEW_CLOUD", ""))]
    words += [f"--test={one.strip()}" for one in env.get("PREVIEW_TEST", "").splitlines() if one.strip()]
    words += [f"--fail-on={one}" for one in _words(env.get("PREVIEW_FAIL_ON", ""))]
    return words


def _words(text: str) -> list[str]:
    return re.split(r"[\s,]+", text.strip(" \t\r\n,")) if text.strip(" \t\r\n,") else []


def run(words: list[str], env: Mapping[str, str]) -> tuple[int, str]:
    """The exit status of the preview and its Markdown, which is empty where there is none; its stderr is in the log."""
    program = shutil.which("meshinstall", path=env.get("PATH"))
    if program is None:
        raise PreviewError("meshinstall is not on PATH: install it in a step before this one")
    # Neither the token of this step, nor those of the runner, are for what reads the files of strangers.
    kept = {name: value for name, value in env.items() if name != "GITHUB_TOKEN" and not name.startswith("ACTIONS_")}
    try:
        done = subprocess.run([program, "preview", *words], env=kept, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise PreviewError(f"{program} does not run: {error.strerror}") from None
    _print_foreign(done.stderr.decode(errors="replace"))
    if done.returncode not in _MADE:
        return done.returncode, ""
    text = done.stdout.decode(errors="replace").rstrip("\n")
    if not text.startswith(f"{MARKER}\n") or len(text) > _LONGEST_COMMENT:
        raise PreviewError("meshinstall printed another Markdown than this action knows: use the action and meshinstall of one version")
    return done.returncode, text


def _print_foreign(text: str) -> None:
    """Into the log, where the runner reads no command from it until it finds a word that nobody could know."""
    if text.strip():
        word = secrets.token_hex(32)
        print(f"::stop-commands::{word}\n{text.rstrip()}\n::{word}::", flush=True)


def comment(api: Api, pull: PullRequest, text: str) -> str:
    """Write the comment, or update the one of this token's own user; what was done. Raises PreviewError."""
    issues = f"{api.rest}/repos/{pull.repository}/issues"
    me = _user(api)
    for one in _comments(api, f"{issues}/{pull.number}/comments"):
        if _is_ours(one, me):
            api.ask("PATCH", f"{issues}/comments/{one['id']}", {"body": text})
            return f"comment {one['id']} of pull request {pull.number} is updated"
    api.ask("POST", f"{issues}/{pull.number}/comments", {"body": text})
    return f"pull request {pull.number} has a new comment"


def _user(api: Api) -> int:
    """The number of the token's user. REST's /user does not answer the token of a job, GraphQL does."""
    found, _ = api.ask("POST", api.graphql, {"query": "query { viewer { databaseId } }"})
    try:
        number = found["data"]["viewer"]["databaseId"]
    except (KeyError, TypeError):
        number = None
    if type(number) is not int:
        raise PreviewError(f"POST {api.graphql}: GitHub does not say whose token this is")
    return number


def _comments(api: Api, url: str) -> Iterator[Any]:
    """All comments, page by page, as long as GitHub says that there is another one."""
    for page in range(1, _MOST_PAGES + 1):
        found, headers = api.ask("GET", f"{url}?per_page={_PAGE}&page={page}")
        if not isinstance(found, list):
            raise PreviewError(f"GET {url}: the answer is not a list of comments")
        yield from found
        if 'rel="next"' not in headers.get("Link", ""):
            return
    raise PreviewError(f"GET {url}: there are more than {_MOST_PAGES * _PAGE} comments, and none of the first ones is a preview")


def _is_ours(found: Any, me: int) -> bool:
    """Whether it is a preview of this user; others may write the same mark, and this user may quote it."""
    if not isinstance(found, dict) or type(found.get("id")) is not int or not isinstance(found.get("user"), dict):
        return False
    body = found.get("body")
    return found["user"].get("id") == me and isinstance(body, str) and body.startswith(MARKER)


def command(name: str, text: str) -> None:
    """An annotation of the job; the text is data, whatever is in it."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    print(f"::{name} title=meshinstall preview::{printable.replace('%', '%25')}", flush=True)


def _append(path: str, text: str) -> None:
    """Add to a file of the runner; a link in its place is not followed."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise PreviewError(f"{path} cannot be written: {error.strerror}") from None


def _needed(env: Mapping[str, str], name: str) -> str:
    if not (value := env.get(name, "")):
        raise PreviewError(f"{name} is not set: this script is for a job of GitHub Actions")
    return value


def _boolean(name: str, value: str) -> bool:
    if value not in {"true", "false"}:
        raise PreviewError(f"{name} is neither true nor false")
    return value == "true"


def _end() -> NoReturn:
    # Whatever the locale of a runner is, its log is UTF-8.
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - it is open
    try:
        sys.exit(main(os.environ))
    except PreviewError as error:
        command("error", str(error))
        sys.exit(1)


if __name__ == "__main__":
    _end()
