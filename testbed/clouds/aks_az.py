"""A person's Azure CLI: a program called ``az`` that signs in at the fake Entra ID, as far as programs ask it for tokens."""

import json
import os
import ssl
import stat
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from testbed import paths

# The application that az is in every tenant.
CLIENT = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
_LOGIN = "testbed-login.json"


def install(folder: Path, tenant: str, refresh_token: str, login: str = "login.microsoftonline.com") -> dict[str, str]:
    """Put ``az`` into ``folder``, logged in to ``tenant``; return the variable that leads to its files. PATH must lead to it."""
    files = folder / "azure"
    files.mkdir(mode=0o700, parents=True, exist_ok=True)
    (files / _LOGIN).write_text(json.dumps({"tenant": tenant, "refresh_token": refresh_token, "login": login}))
    program = folder / "az"
    lines = (f"#!{sys.executable} -P", "import sys", f"sys.path.insert(0, {str(paths.REPOSITORY)!r})", "from testbed.clouds import aks_az")
    program.write_text("\n".join([*lines, "aks_az.main(sys.argv[1:])", ""]))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"AZURE_CONFIG_DIR": str(files)}


def main(words: list[str]) -> None:
    """``az account get-access-token``: prints a token, or says as az does why there is none."""
    if words[:2] != ["account", "get-access-token"]:
        sys.exit(f"ERROR: this az knows no {' '.join(words)}")
    options = dict(zip(words[2::2], words[3::2], strict=True))
    stored = json.loads((Path(os.environ["AZURE_CONFIG_DIR"]) / _LOGIN).read_text())
    tenant = options.get("--tenant", stored["tenant"])
    scope = f"{options['--resource']}/.default"
    form = {"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": stored["refresh_token"], "scope": scope}
    try:
        answer = _post(f"https://{stored['login']}/{tenant}/oauth2/v2.0/token", form)
    except urllib.error.HTTPError as error:
        said = json.loads(error.read())["error_description"]
        sys.exit(f'ERROR: {said}\nInteractive authentication is needed. Please run:\naz login --tenant "{tenant}" --scope "{scope}"')
    expires = int(time.time()) + int(answer["expires_in"])
    print(json.dumps({"accessToken": answer["access_token"], "expires_on": expires, "tenant": tenant, "tokenType": "Bearer"}))


def _post(url: str, form: dict[str, str]) -> dict[str, str | int]:
    context = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
    with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), context=context) as answer:  # noqa: S310 - https
        found: dict[str, str | int] = json.load(answer)
        return found
