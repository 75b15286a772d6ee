"""A year of nights on a model of a mesh: releases, tables, files, windows, faults, kills and people, all of one seed."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random

from meshinstall.catalog.upgrades import Fix, KnownBad
from meshinstall.engine.nightly.choice import Decision, Kind, Known, Offer, decide
from meshinstall.engine.upgrade.hops import find_route
from meshinstall.engine.upgrade.pieces import OF_OTHERS
from meshinstall.engine.upgrade.retirement import users
from meshinstall.engine.upgrade.stages import Goal, order_stages
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import Carrier, MeshPosition, NamespaceAt, PlaneAt, Proxied, ProxyCount, Rollout, TagAt
from meshinstall.model.place import Place
from meshinstall.model.revision import revision_of
from meshinstall.model.upgrade import Move, Part, Stage, StageName, Strategy, UpgradePlan, Way
from meshinstall.model.windows import Kind as WindowKind
from meshinstall.model.windows import Window, Windows
from tests.unit.engine.upgrade.mesh_model import Model, model, seen

FIRST, DAYS = date(2026, 1, 1), 365
MINORS = (30, 31, 32)
START = IstioVersion(1, 30, 1)
# Shares of what may happen at a piece.
KILLED, BROKEN = 0.3, 0.5
ROLLING = Rollout("RollingUpdate", 2, 0, 1)
SCHEDULES = (("0 22 * * *", 3), ("0 22 * * 1-5", 4), ("0 20 * * 0", 6), ("30 22 1-20 * *", 2))


def nothing_ends(_: str) -> date | None:
    """Support of no minor has an end that is known."""
    return None


@dataclass
class World:
    """Everything outside of the mesh, on ``today``; ``known`` is what the meshinstall that runs knows of it."""

    random: Random
    today: date = FIRST
    released: list[IstioVersion] = field(default_factory=lambda: [START])
    bad: dict[str, KnownBad] = field(default_factory=dict)
    fixes: list[Fix] = field(default_factory=list)
    ends: dict[str, date] = field(default_factory=dict)
    known: Known = field(default_factory=lambda: Known({"1.30": 1}, {}, (), nothing_ends, FIRST))
    minor: str = "1.30"
    exact: IstioVersion | None = None
    pinned: list[IstioVersion] = field(default_factory=lambda: [START])
    trusts_source: bool = False
    windows: Windows = field(default_factory=Windows)
    broken: set[IstioVersion] = field(default_factory=set)

    def pass_day(self) -> None:
        """What happens in a day."""
        self.today += timedelta(days=1)
        if self._is(0.06):
            self._release()
        if self._is(0.03):
            version = self.random.choice(self.released[-4:])
            self.bad[str(version)] = KnownBad("a fault", "istio/istio#1", "a later one")
        if self._is(0.25):
            self.learn()
        if self._is(0.1):
            self._edit()
        if self._is(0.02):
            self.windows = self._some_windows()
        if self._is(0.05):
            self.broken = set(self.random.sample(self.released, min(2, len(self.released))))

    def learn(self) -> None:
        """Somebody installs the newest meshinstall."""
        newest = {f"1.{minor}": max((one.patch for one in self.released if one.minor == minor), default=-1) for minor in MINORS}
        newest = {line: patch for line, patch in newest.items() if patch >= 0}
        self.known = Known(newest, dict(self.bad), tuple(self.fixes), dict(self.ends).get, self.today)

    def offer(self) -> Offer:
        """What the files say."""
        if self.exact:
            return Offer((self.exact,), "istio.version", is_exact=True)
        line = [one for one in (self.released if self.trusts_source else self.pinned) if one.line == self.minor]
        return Offer(tuple(line), "source") if self.trusts_source else Offer(tuple(sorted(line)[-1:]), "lock", is_exact=True)

    def is_allowed(self, version: IstioVersion, running: set[IstioVersion]) -> bool:
        """Whether a night may bring a version that does not run yet; says it in another way than the planner."""
        known = self.known
        has_end = known.end_of(version.line)
        lost = [fix.name for fix in known.fixes if any(fix.is_in(one) for one in running) and fix.is_in(version) is False]
        return (
            version in self.offer().versions
            and str(version) not in known.bad
            and version.patch in range(known.newest.get(version.line, -1) + 1)
            and not lost
            and not (has_end and has_end < self.today)
            and version >= max(running)
        )

    def _is(self, share: float) -> bool:
        return self.random.random() < share

    def _release(self) -> None:
        minor = self.random.choice(MINORS)
        patch = max((one.patch for one in self.released if one.minor == minor), default=-1) + 1
        self.released.append(IstioVersion(1, minor, patch))
        if self._is(0.5):
            # A fix that the other minors get with their next patches, or never.
            nexts = {f"1.{each}": max((one.patch for one in self.released if one.minor == each), default=-1) + 1 for each in MINORS}
            self.fixes.append(Fix(f"fix-{len(self.fixes)}", "a hole", "a page", {**nexts, f"1.{minor}": patch}))
        if minor > min(MINORS) and patch == 0:
            self.ends[f"1.{minor - 1}"] = self.today + timedelta(days=self.random.randint(5, 60))

    def _edit(self) -> None:
        """A change of the files that people review, good or bad."""
        lines = sorted({one.line for one in self.released})
        match self.random.randrange(5):
            case 0:
                self.minor = lines[min(lines.index(self.minor) + 1, len(lines) - 1)] if self.minor in lines else lines[0]
                self.exact = None
            case 1:
                # Most name the newest minor, which may lack what older ones have.
                newest = [one for one in self.released if one.minor == max(each.minor for each in self.released)]
                self.exact = self.random.choice(newest if self._is(0.7) else self.released)
            case 2:
                self.exact = None
            case 3:
                self.trusts_source = not self.trusts_source
            case _:
                pass
        if self._is(0.7):
            self.pinned.append(self.random.choice(self.released))
            self.pinned += [max((one for one in self.released if one.line == self.minor), default=START)]

    def _some_windows(self) -> Windows:
        count = self.random.randrange(3)
        some = [self.random.choice(SCHEDULES) for _ in range(count)]
        zones = ("UTC", "Europe/Berlin", "America/New_York")
        found = [Window(WindowKind.ALLOW, schedule, timedelta(hours=hours), self.random.choice(zones)) for schedule, hours in some]
        freeze = [Window(WindowKind.DENY, "0 0 10 * *", timedelta(days=3), "UTC")] if self._is(0.3) else []
        return Windows(tuple(found + freeze))


def start() -> MeshPosition:
    """One istiod with a revision; a gateway, and two workloads, of the default tag and of another."""
    own = (ProxyCount("1-30", START, 1),)

    def workload(space: str, name: str, carrier: Carrier, release: str = "", pinned: str = "") -> Proxied:
        return Proxied("Deployment", Place(space, name), carrier, own, ROLLING, release, pinned)

    return MeshPosition(
        base=START,
        planes=(PlaneAt("1-30", START, Place("istio-system", "istiod-1-30"), "istiod-1-30"),),
        proxied=(
            workload("ingress", "public", Carrier.GATEWAY, "ingress/public", "1-30"),
            workload("shop", "web", Carrier.SIDECAR),
            workload("lab", "api", Carrier.SIDECAR),
        ),
        namespaces=(NamespaceAt("ingress"), NamespaceAt("shop", "enabled"), NamespaceAt("lab", "", "stable")),
        tags=(TagAt("default", "1-30"), TagAt("stable", "1-30")),
        validator="1-30",
    )


@dataclass
class Night:
    """What one night saw, decided and did."""

    world: World
    before: MeshPosition
    decision: Decision | None
    after: MeshPosition
    was_open: bool
    is_killed: bool = False

    @property
    def is_broken(self) -> bool:
        """Whether what it may bring fails at some of its stages."""
        return bool(self.decision and self.decision.plan and self.decision.plan.target in self.world.broken)


def plan_to(position: MeshPosition, target: IstioVersion) -> UpgradePlan:
    """The plan of an upgrade, by its parts that ask no table but that of hops."""
    route = find_route(position, target, revision_of(str(target)))
    goal = Goal(target, route.strategy, ("stable",)) if route.strategy else None
    stages = order_stages(position, goal) if goal else ()
    if goal and not stages:
        return UpgradePlan("prod", "c", target, position)
    return UpgradePlan("prod", "c", target, position, route.hops, route.strategy, stages, findings=route.refusals)


def pieces(stage: Stage) -> list[tuple[Move, ...]]:
    """What is run, and taken back, together; proxies that only their owners replace stay as they are."""
    own = [move for move in stage.moves if move.part is not Part.PROXIES or stage.name is StageName.CANARY]
    return [(move,) for move in own] if stage.name is StageName.GATEWAYS else [tuple(own)]


@dataclass
class _Run:
    """One run over stages, on a clock; ``is_over`` once nothing more is begun."""

    world: World
    mesh: Model
    position: MeshPosition
    target: IstioVersion
    clock: datetime
    is_killed: bool
    is_over: bool = False

    def stage(self, stage: Stage, staying: str) -> None:
        """A stage, or nothing where its part is others' to do."""
        waits = stage.name in OF_OTHERS and any(move.part in {Part.PROXIES, Part.NAMESPACE} for move in stage.moves)
        is_used = stage.name is StageName.RETIRE and any(users(self.seen(), staying))
        self.is_over = self.is_over or waits or is_used
        for piece in pieces(stage) if stage.name not in OF_OTHERS else ():
            if not self.is_over:
                self.piece(stage.name, piece)

    def piece(self, stage: StageName, piece: tuple[Move, ...]) -> None:
        """Each takes its time, fails where the target is broken, and may be the last one before a kill."""
        random = self.world.random
        self.is_over = not self.world.windows.is_open(self.clock)
        self.clock += timedelta(minutes=random.choice((2, 20, 70)))
        before = replace(self.mesh, **{name: deepcopy(value) for name, value in vars(self.mesh).items()})
        for move in piece:
            if not self.is_over:
                self.mesh.apply(stage, move)
                self.is_over = self.is_killed and random.random() < KILLED
        if not self.is_over and self.target in self.world.broken and stage is not StageName.CRDS and random.random() < BROKEN:
            self.mesh, self.is_over = before, True

    def seen(self) -> MeshPosition:
        """What would be read now."""
        return seen(self.mesh, self.position)


def carry_out(world: World, position: MeshPosition, plan: UpgradePlan, begins: datetime, *, is_killed: bool = False) -> MeshPosition:
    """Run the stages, until one does not end well."""
    if plan.refusals or not plan.strategy:
        return position
    run = _Run(world, model(position, Goal(plan.target, plan.strategy)), position, plan.target, begins, is_killed)
    for stage in plan.stages:
        run.stage(stage, plan.revision)
    return run.seen()


def restarted(position: MeshPosition, random: Random, share: float) -> MeshPosition:
    """Owners restart some of their workloads: the injector that their labels lead to gives them its version."""
    mesh = _alive(position)
    for one in position.proxied:
        if one.carrier is Carrier.SIDECAR and random.random() < share:
            mesh.start_again(one.name)
    return seen(mesh, position)


def wrong(position: MeshPosition) -> set[str]:
    """What the skew table forbids."""
    return _alive(position).wrong()


def running(position: MeshPosition) -> set[IstioVersion]:
    """Versions of istiods."""
    return {plane.version for plane in position.planes if plane.version}


def _alive(position: MeshPosition) -> Model:
    newest = max(running(position))
    return model(position, Goal(newest, Strategy(Way.CANARY, revision_of(str(newest)), "")))


def night(world: World, position: MeshPosition, *, is_killed: bool = False) -> Night:
    """One night, as the command runs it."""
    begins = datetime.combine(world.today, time(22, 30), UTC)
    if not world.windows.is_open(begins) or not world.offer().versions:
        return Night(world, position, None, position, world.windows.is_open(begins))
    found = decide(world.offer(), position, lambda version: plan_to(position, version), world.known, world.today)
    if found.kind is not Kind.MOVE or found.plan is None:
        return Night(world, position, found, position, was_open=True)
    after = carry_out(world, position, found.plan, begins, is_killed=is_killed)
    return Night(world, position, found, after, was_open=True, is_killed=is_killed)


def nights(seed: int) -> Iterator[Night]:
    """A year of them, and then forty without faults, kills and changes, with the newest tables and windows that open each night."""
    random = Random(seed)  # noqa: S311 - a test that can be repeated
    world, position = World(random), start()
    world.windows = Windows()
    for _ in range(DAYS):
        world.pass_day()
        position = restarted(position, random, 0.1)
        if random.random() < 0.01:
            position = _by_hand(world, position)
        done = night(world, position, is_killed=random.random() < 0.1)
        position = done.after
        yield done
    world.broken, world.windows = set(), Windows()
    world.learn()
    for _ in range(40):
        world.today += timedelta(days=1)
        position = restarted(position, random, 1.0)
        done = night(world, position)
        position = done.after
        yield done


def _by_hand(world: World, position: MeshPosition) -> MeshPosition:
    """Somebody upgrades to what he likes, and stops in the middle."""
    plan = plan_to(position, world.random.choice(world.released))
    noon = replace(world, windows=Windows(), broken=set())
    return carry_out(noon, position, plan, datetime.combine(world.today, time(12), UTC), is_killed=True)
