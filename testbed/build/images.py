"""The container images of the testbed, made from packages, wheels and Go builds.

They have no shell and no curl, like Istio's distroless ones; the test
application is busybox.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from testbed import pins
from testbed.build.istio import RELEASE, Istio
from testbed.build.oci import Image, Layer, write_archive, write_layer
from testbed.build.workshop import Workshop

# What the test application can run.
_APPLETS = ("cat", "echo", "env", "httpd", "ls", "mkdir", "nc", "nslookup", "sh", "sleep", "wget")
# Folders of a Debian package that an image has no use for.
_UNUSED = ("usr/share", "etc/init.d", "etc/default")


def unpack_debian(shop: Workshop, out: Path) -> None:
    """Unpack the packages of pins.NODE_PACKAGES with all they depend on."""
    downloads = out / "packages"
    downloads.mkdir()
    shop.run("debian", ["apt-get", "update", "--quiet"])
    options = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    listing = shop.run("debian", ["apt-cache", "depends", "--recurse", *options, *pins.NODE_PACKAGES])
    packages = sorted(set(re.findall(r"^\w\S*", listing, re.MULTILINE)))
    # Without a sandbox user: it could not write into the cache folder.
    shop.run("debian", ["apt-get", "-o", "APT::Sandbox::User=root", "download", "--quiet", *packages], cwd=downloads)
    for package in sorted(downloads.glob("*.deb")):
        shop.run("debian", ["dpkg-deb", "--extract", package, out / "root"])
    (out / "versions").write_text("".join(f"{package.stem}\n" for package in sorted(downloads.glob("*.deb"))))
    shutil.rmtree(downloads)
    for name in _UNUSED:
        shutil.rmtree(out / "root" / name, ignore_errors=True)
    # Only the application's image gets it: the proxy's has no shell to offer.
    (out / "root/bin/busybox").rename(out / "busybox")
    _finish_iptables(out / "root/usr/sbin")
    _collect_libraries(out)


def _finish_iptables(folder: Path) -> None:
    """Link the commands that the package's own installation script would."""
    for family in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            (folder / f"{family}{suffix}").symlink_to("xtables-nft-multi")


def _collect_libraries(out: Path) -> None:
    """Gather what these programs load on the host: all but the C library, which must be the host's."""
    (out / "lib").mkdir()
    for folder in ("lib", "usr/lib"):
        for file in (out / "root" / folder / "x86_64-linux-gnu").glob("lib*.so.*"):
            if re.match(r"lib(xtables|ip4tc|ip6tc|mnl|nftnl|nfnetlink|netfilter_conntrack|seccomp)\.", file.name):
                shutil.copy(file, out / "lib" / file.name)


def build_node_images(shop: Workshop, out: Path) -> None:
    """What every node has: the images of pins.ISTIO, the pause image and the test application."""
    base = _base_layer(shop, out)
    busybox = write_layer(
        out / "busybox.layer",
        {"bin/busybox": shop.part("debian") / "busybox"},
        links={f"bin/{name}": "busybox" for name in _APPLETS},
    )
    sleep = ["/bin/busybox", "sleep", "2000000000"]
    applications = [Image(name, [base, busybox], sleep) for name in (pins.PAUSE_IMAGE, pins.APP_IMAGE)]
    _finish(out, [*applications, *_istio_images(shop, out, "images", RELEASE)])


def build_istio_images(shop: Workshop, out: Path, part: str, istio: Istio) -> None:
    """The images of another Istio; those of a re-stamp are labelled as what they are."""
    _finish(out, list(_istio_images(shop, out, part, istio)))


def _base_layer(shop: Workshop, out: Path) -> Layer:
    """The C library and iptables."""
    root = shop.part("debian") / "root"
    tree = {name: root / name for name in ("lib", "lib64", "sbin", "usr", "etc") if (root / name).exists()}
    return write_layer(out / "debian.layer", tree, folders=["tmp"])


def _istio_images(shop: Workshop, out: Path, part: str, istio: Istio) -> Iterator[Image]:
    base, programs = _base_layer(shop, out), shop.part(istio.programs)
    agent = write_layer(
        out / "proxy.layer",
        {
            "usr/local/bin/envoy": shop.part(istio.envoy) / "envoy/_bin/envoy",
            "usr/local/bin/pilot-agent": programs / "pilot-agent",
            "var/lib/istio/envoy/envoy_bootstrap_tmpl.json": istio.source(shop, part) / "tools/packaging/common/envoy_bootstrap.json",
        },
        folders=["var/lib/istio/data", "etc/istio/proxy"],
    )
    pilot = write_layer(
        out / "pilot.layer", {"usr/local/bin/pilot-discovery": programs / "pilot-discovery"}, folders=["tmp", "var/lib/istio/data"]
    )
    labels = {"dev.meshinstall.testbed/restamp-of": istio.restamp_of} if istio.restamp_of else {}
    hub = pins.ISTIO_HUB
    yield Image(f"{hub}/proxyv2:{istio.version}", [base, agent], ["/usr/local/bin/pilot-agent"], labels=labels)
    yield Image(f"{hub}/pilot:{istio.version}", [pilot], ["/usr/local/bin/pilot-discovery"], user="1337", labels=labels)


def _finish(out: Path, images: list[Image]) -> None:
    write_archive(out / "images.tar", images)
    layers: set[Layer] = {layer for image in images for layer in image.layers}
    for layer in layers:
        layer.path.unlink()
