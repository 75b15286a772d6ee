"""GitHub as an action meets it: its API for comments, with what it checks and refuses, and a runner for composite actions."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

TOKEN = "ghs_0123456789abcdefghijABCDEFGHIJ012345"  # noqa: S105 - of no GitHub
BOT, STRANGER = 41898282, 4711
_EXPRESSION = re.compile(r"\$\{\{ *([\w.-]+) *\}\}")
_FORBIDDEN = (403, {"message": "Resource not accessible by integration", "status": "403"})


@dataclass
class GitHub:
    """The comments of pull request 7 of shop/mesh; ``asked`` keeps each request, ``refused`` what GitHub would not take."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    may_read: bool = True
    may_write: bool = True
    # For one method: the whole answer, in place of the true one.
    instead: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def add(self, user: int, body: str) -> int:
        """A comment of a user; gives its number."""
        number = 1000 + len(self.comments)
        self.comments.append({"id": number, "user": {"id": user, "login": f"user{user}"}, "body": body})
        return number

    def bodies(self, user: int) -> list[str]:
        """What a user wrote."""
        return [one["body"] for one in self.comments if one["user"]["id"] == user]

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """For a server."""
        github = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_PATCH(self) -> None:
                self._answer()

            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                status, headers, data = github.answer(self, body)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and data."""
        self.asked.append(f"{request.command} {request.path}")
        if request.path != "/graphql" and request.command in self.instead:
            return self.instead[request.command]
        status, found, *link = self._checked(request, body)
        headers = {"Content-Type": "application/json; charset=utf-8", **({"Link": link[0]} if link and link[0] else {})}
        return status, headers, json.dumps(found).encode()

    def _checked(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[Any, ...]:
        wrong = [
            f"{name}: {request.headers.get(name)}"
            for name, pattern in {
                "Accept": r"application/vnd\.github\+json",
                "X-GitHub-Api-Version": "2022-11-28",
                "User-Agent": ".+",
            }.items()
            if not re.fullmatch(pattern, request.headers.get(name, ""))
        ]
        if wrong:
            self.refused += wrong
            return 400, {"message": "bad headers"}
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"message": "Bad credentials"}
        return self._routed(request.command, request.path, body)

    def _routed(self, method: str, path: str, body: bytes) -> tuple[Any, ...]:
        url = urlsplit(path)
        if (method, url.path) == ("POST", "/graphql"):
            return self._viewer(json.loads(body)["query"])
        if (method, url.path) == ("GET", "/repos/shop/mesh/issues/7/comments"):
            return self._page(parse_qs(url.query)) if self.may_read else _FORBIDDEN
        return self._written(method, url.path, body)

    def _written(self, method: str, path: str, body: bytes) -> tuple[Any, ...]:
        new = (method, path) == ("POST", "/repos/shop/mesh/issues/7/comments")
        changed = re.fullmatch(r"/repos/shop/mesh/issues/comments/(\d+)", path) if method == "PATCH" else None
        if not new and not changed:
            self.refused.append(f"{method} {path}")
            return 404, {"message": "Not Found"}
        if not self.may_write:
            return _FORBIDDEN
        text = json.loads(body)["body"]
        if len(text) > 65_536:
            return 422, {"message": "body is too long (maximum is 65536 characters)"}
        if new:
            self.add(BOT, text)
            return 201, self.comments[-1]
        (one,) = [one for one in self.comments if changed and one["id"] == int(changed[1])]
        one["body"] = text
        return 200, one

    def _viewer(self, query: str) -> tuple[Any, ...]:
        if re.sub(r"\s+", " ", query) != "query { viewer { databaseId } }":
            return 200, {"errors": [{"message": "Parse error"}]}
        return 200, {"data": {"viewer": {"databaseId": BOT}}}

    def _page(self, query: Mapping[str, list[str]]) -> tuple[Any, ...]:
        size, page = min(int(query.get("per_page", ["30"])[0]), 100), int(query.get("page", ["1"])[0])
        link = f'<https://api.invalid/next?page={page + 1}>; rel="next"' if page * size < len(self.comments) else ""
        return 200, self.comments[(page - 1) * size : page * size], link


@dataclass(frozen=True, slots=True)
class Step:
    """What a step of an action left: its log, and the files that it added to."""

    status: int
    log: str
    summary: str
    output: str

    @property
    def commands(self) -> list[str]:
        """The commands of the log that a runner would obey: not those between ::stop-commands::WORD and ::WORD::."""
        found: list[str] = []
        word = ""
        for text in self.log.splitlines():
            if word:
                word = "" if text.strip().lower() == f"::{word}::" else word
            elif stopped := re.fullmatch(r"\s*::stop-commands::(\S+)", text):
                word = stopped[1].lower()
            elif text.lstrip().startswith("::") or "##[" in text:
                found.append(text)
        return found


def run_action(action: Path, inputs: Mapping[str, str], env: Mapping[str, str], folder: Path) -> Step:
    """Run an action of one step as a runner does: inputs by their defaults, expressions in ``env`` alone, bash as it calls it."""
    told = yaml.safe_load((action / "action.yml").read_text())
    assert told["runs"]["using"] == "composite"
    assert set(inputs) <= set(told["inputs"])
    (step,) = told["runs"]["steps"]
    assert not _EXPRESSION.search(step["run"])
    known = {f"inputs.{name}": inputs.get(name, one["default"]) for name, one in told["inputs"].items()} | {"github.token": TOKEN}
    given = {name: _EXPRESSION.sub(lambda found: known[found[1]], value) for name, value in step["env"].items()}
    script, summary, output = (folder / name for name in ("step.sh", "summary.md", "output"))
    script.write_text(step["run"])
    for file in (summary, output):
        file.write_text("")
    files = {"GITHUB_ACTION_PATH": str(action), "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(output)}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **env, **files, **given},
        cwd=env["GITHUB_WORKSPACE"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return Step(done.returncode, done.stdout.decode(), summary.read_text(), output.read_text())
