"""The command ``scripts/testbed``."""

import shlex
import sys
import time
from typing import Annotated

import typer

from testbed import cluster, machine, paths, shell
from testbed.build import catalog
from testbed.build.builder import build as build_parts
from testbed.clouds.process.kind import read_addresses
from testbed.clouds.process.kinds import kind
from testbed.cluster import Cluster
from testbed.errors import TestbedError
from testbed.spec import Account, Authentication, Cloud, Engine, Nodes

app = typer.Typer(add_completion=False, no_args_is_help=True, help="A real Kubernetes cluster on this machine, for development and tests.")

Name = Annotated[str, typer.Option(help="Which cluster; several run side by side.")]


def say(line: str) -> None:
    """Tell progress on stderr."""
    print(line, file=sys.stderr, flush=True)


@app.command()
def build(parts: Annotated[list[str] | None, typer.Argument(help="Parts to build; all of them by default.")] = None) -> None:
    """Build parts of the testbed into the cache."""
    wanted = tuple(parts or catalog.PARTS)
    if unknown := [part for part in wanted if part not in catalog.PARTS]:
        message = f"no part called {', '.join(unknown)}; there are {', '.join(catalog.PARTS)}"
        raise TestbedError(message)
    shop = build_parts(catalog.PARTS, wanted, paths.cache_dir(), say)
    for part in wanted:
        print(f"{part}\t{shop.part(part)}")


@app.command()
def up(
    name: Name = "dev",
    nodes: Annotated[Nodes, typer.Option(help="Real (kubelet, containerd), simulated (kwok), or none and an istiod.")] = Nodes.REAL,
    cloud: Annotated[Cloud | None, typer.Option(help="Put a FAKE cloud beside it, which the API server asks who a token is.")] = None,
    account: Annotated[Account, typer.Option(help="What the account in that cloud is like.")] = Account.PLAIN,
    with_: Annotated[list[Engine] | None, typer.Option("--with", help="Run an engine of GitOps in it; may be repeated.")] = None,
) -> None:
    """Start a cluster and wait until it is usable."""
    engines = tuple(engine for engine in Engine if engine in (with_ or ()))
    if engines and nodes is Nodes.NONE:
        message = "--with needs a cluster whose controllers run; take --nodes real or simulated"
        raise TestbedError(message)
    if answer := machine.objection(machine.inspect(paths.cache_dir())):
        raise TestbedError(answer)
    started = time.monotonic()
    if cloud is None:
        found = cluster.up(name, nodes, say, engines=engines)
    else:
        wanted = kind(cloud)
        found = cluster.up(
            name,
            nodes,
            say,
            wanted.parts,
            authenticate=lambda _: Authentication(wanted.flags),
            cloud=cloud,
            account=account,
            engines=engines,
        )
    say(f"cluster {name} is up after {time.monotonic() - started:.1f} s, {_kind(found)}: {found.spec.server}")


@app.command()
def down(name: Name = "dev") -> None:
    """End a cluster and remove everything that was its own."""
    say(f"cluster {name} is gone" if cluster.down(name) else f"there is no cluster {name}")


@app.command()
def status(name: Name = "dev") -> None:
    """Say for each component of a cluster whether it runs; exit status 1 when something does not."""
    found = _existing(name)
    running = cluster.first_process(name) is not None
    print(f"cluster {name}, {_kind(found)}, {found.spec.server}: {'running' if running else 'not running'}")
    if running:
        print("".join(f"{line}\n" for line in cloud_lines(found)), end="")
    for process in found.processes():
        state = process["state"] if running or process["state"] in {"died", "done"} else "ended with the cluster"
        end = f" ({process['exit']})" if process["state"] == "died" else ""
        print(f"  {process['name']:<24} {state}{end}")
        if process["state"] == "died":
            print("\n".join(f"    | {line}" for line in found.tail(process["name"]).splitlines()))
    print(f"logs: {found.log}")
    if not running or any(process["state"] == "died" for process in found.processes()):
        raise typer.Exit(1)


@app.command()
def kubeconfig(name: Name = "dev") -> None:
    """Print the path of the administrator's kubeconfig."""
    print(_existing(name).kubeconfig)


@app.command()
def charts() -> None:
    """Build Istio's charts and print their folder."""
    print(build_parts(catalog.PARTS, ("charts",), paths.cache_dir(), say).part("charts"))


@app.command()
def env(
    name: Name = "dev",
    tool: Annotated[list[str] | None, typer.Option(help="Part whose program comes on PATH, such as helm3; may be repeated.")] = None,
) -> None:
    """Print export lines for a shell: eval "$(scripts/testbed env)"."""
    tools = tuple(tool or catalog.SHELL)
    shop = build_parts(catalog.PARTS, (*tools, "charts"), paths.cache_dir(), say)
    found = _existing(name)
    for variable in shell.foreign(found):
        print(f"unset {shlex.quote(variable)}")
    for variable, value in shell.environment(found, shop, tools).items():
        print(f"export {variable}={shlex.quote(value)}")


def cloud_lines(of: Cluster) -> list[str]:
    """What the cluster's cloud is and where it listens; nothing for a cluster without one."""
    if of.spec.cloud is None:
        return []
    told = read_addresses(of.state)
    where = [f"    {one.url:<24} {one.what}" for one in told.addresses] if told else ["    it has not answered yet"]
    return [f"  FAKE {of.spec.cloud}: a stand-in for the cloud, on this machine alone", *where]


def _existing(name: str) -> Cluster:
    found = cluster.existing(name)
    if found is None:
        there = ", ".join(cluster.names()) or "none"
        message = f"there is no cluster {name} (there: {there}); start it: scripts/testbed up --name {name}"
        raise TestbedError(message)
    return found


def _kind(of: Cluster) -> str:
    nodes = {
        Nodes.REAL: "one real node",
        Nodes.SIMULATED: "SIMULATED nodes (kwok: pods are records, nothing runs)",
        Nodes.NONE: "NO nodes (pods are records, nothing runs; istiod is a process)",
    }[of.spec.nodes]
    return f"FAKE {of.spec.cloud}, {nodes}" if of.spec.cloud else nodes


def main() -> None:
    """Run the command; a TestbedError is a message, never a traceback."""
    try:
        app()
    except TestbedError as error:
        sys.exit(f"testbed: {error}")


if __name__ == "__main__":
    main()
