"""A picture of the topology: hosts as boxes with their containers, networks as rails above, volumes below.

Every network has a riser at the left of a host's containers, every volume one at the right; a container hangs on
a riser by a stub. No line crosses a box, so the picture stays readable at any number of networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from harness.model.history import History
from harness.model.plan import NetworkPlan, Plan, Target, VolumePlan
from harness.report.mesh import natural
from harness.report.svg import picture, shorten, tag, text
from harness.report.text import clean, listed, plural

PALETTE = 6
_STEP = 12.0
_BOX, _GAP = 32.0, 8.0
_RAIL, _HEAD, _CAN = 28.0, 40.0, 52.0
_MAX_WIDTH = 1040.0
_MAX_BOXES = 24
_HOST_GAP = 24.0


@dataclass(frozen=True)
class Placed:
    """A container as the picture shows it. `node` is empty where nothing says where it ran."""

    name: str
    service: str
    node: str
    addresses: dict[str, str] = field(default_factory=dict)


def placed(history: History, plan: Plan) -> list[Placed]:
    """Containers at the first look of the history; from the plan alone where the history has none."""
    nodes = {node.name for node in plan.nodes}
    found: dict[str, Placed] = {}
    looks = sorted(history.only(f=["endpoint", "task"]).ops(), key=lambda op: op.start_ns)
    for op in looks:
        phase, _, place = op.key.partition("|")
        first = looks[0].check, looks[0].key.partition("|")[0]
        if op.at in nodes or place == "node" or (op.check, phase) != first:
            continue
        container = found.setdefault(op.at, Placed(op.at, op.process, op.host if op.host in nodes else ""))
        if op.f == "endpoint":
            container.addresses.setdefault(place, str(op.value))
    ran = sorted(found.values(), key=lambda container: natural(container.name))
    return ran or [container for target in plan.targets for container in _planned(target, plan)]


def _planned(target: Target, plan: Plan) -> Iterator[Placed]:
    if target.kind == "plain":
        yield Placed(target.service, target.service, target.node)
    elif target.kind == "global":
        yield from (Placed(f"{target.service}.{node.name}", target.service, node.name) for node in plan.nodes)
    else:
        yield from (Placed(f"{target.service}.{n + 1}", target.service, "") for n in range(target.containers))


def scene(history: History, plan: Plan) -> Markup:
    """The whole picture as one <svg>."""
    layout = Layout.of(plan, placed(history, plan))
    parts: list[Markup] = []
    y = 0.0
    for row in layout.rows():
        drawn, y = layout.draw_row(row, y)
        parts += drawn
    return picture(
        layout.width, y, f"Topology {plan.topology.name}", _describe(plan, layout), parts, class_="scene"
    )


def _describe(plan: Plan, layout: Layout) -> str:
    hosts = [
        f"{host} runs {listed([c.name for c in inside], 30) or 'nothing'}" for host, inside in layout.hosts.items()
    ]
    nets = [f"network {net.name} ({net.driver}) {', '.join(net.subnets)}" for net in plan.networks]
    volumes = [f"volume {volume.name} ({volume.driver})" for volume in plan.volumes]
    return clean("; ".join([*hosts, *nets, *volumes]), 3000)


@dataclass(frozen=True)
class Layout:
    plan: Plan
    hosts: dict[str, list[Placed]]
    label: float

    @classmethod
    def of(cls, plan: Plan, containers: Sequence[Placed]) -> Layout:
        hosts = {node.name: [c for c in containers if c.node == node.name] for node in plan.nodes}
        homeless = [c for c in containers if c.node not in hosts]
        if homeless:
            hosts["not placed"] = homeless
        longest = max((len(c.name) for c in containers), default=0)
        return cls(plan, hosts, min(208.0, max(144.0, 24 + longest * 7.3)))

    @property
    def host_width(self) -> float:
        return 32 + _STEP * (len(self.plan.networks) + len(self.plan.volumes)) + self.label

    @property
    def per_row(self) -> int:
        fit = int((_MAX_WIDTH + _HOST_GAP) // (self.host_width + _HOST_GAP))
        return max(1, min(len(self.hosts), fit))

    @property
    def width(self) -> float:
        return max(self.per_row * (self.host_width + _HOST_GAP) - _HOST_GAP, 360.0)

    def rows(self) -> list[list[str]]:
        names = list(self.hosts)
        return [names[start : start + self.per_row] for start in range(0, len(names), self.per_row)]

    # --- one row of hosts --------------------------------------------------------------------------------

    def draw_row(self, row: Sequence[str], top: float) -> tuple[list[Markup], float]:
        """The row with its rails and volumes, and where the next one starts."""
        hosts_top = top + _RAIL * len(self.plan.networks) + 16
        tallest = max(min(len(self.hosts[name]), _MAX_BOXES + 1) for name in row)
        height = _HEAD + max(1, tallest) * (_BOX + _GAP) + 8
        cans_top = hosts_top + height + 24
        parts: list[Markup] = []
        for column, name in enumerate(row):
            left = column * (self.host_width + _HOST_GAP)
            parts += [self._frame(left, hosts_top, height), *self._risers(name, left, top, hosts_top)]
            parts += self._host(name, left, hosts_top)
            parts += self._mounts(name, left, hosts_top, cans_top)
        parts += self._cans(row, cans_top)
        parts += [self._rail(index, net, top) for index, net in enumerate(self.plan.networks)]
        return parts, cans_top + (_CAN + 12) * len(self.plan.volumes) + 8

    def _rail(self, index: int, net: NetworkPlan, top: float) -> Markup:
        y = top + _RAIL * index + 20
        facts = [net.driver, *net.subnets, *(["internal"] if net.internal else []), f"{net.packet_bytes} bytes"]
        label = tag("tspan", clean(net.name), class_="strong")
        rest = tag("tspan", f"  {clean(' · '.join(facts), 100)}")
        return tag(
            "g", tag("line", x1=0, x2=self.width, y1=y, y2=y, class_=f"rail c{index % PALETTE}"),
            tag("text", label, rest, x=self._box_x(0), y=y - 7, class_="small halo"),
        )  # fmt: skip

    def _frame(self, left: float, top: float, height: float) -> Markup:
        return tag("rect", x=left + 0.5, y=top, width=self.host_width - 1, height=height, rx=8, class_="host")

    def _host(self, name: str, left: float, top: float) -> list[Markup]:
        role = next((node.role for node in self.plan.nodes if node.name == name), "")
        parts = [
            text(self._box_x(left), top + 25, name, "strong halo"),
            text(left + self.host_width - 16, top + 25, role, "small muted", "end"),
        ]
        inside = self.hosts[name]
        parts += [self._box(c, left, self._box_y(top, i)) for i, c in enumerate(inside[:_MAX_BOXES])]
        if len(inside) > _MAX_BOXES:
            more = f"and {plural(len(inside) - _MAX_BOXES, 'container')} more"
            parts.append(text(self._box_x(left), self._box_y(top, _MAX_BOXES) + 20, more, "small muted"))
        return parts

    def _box_x(self, left: float) -> float:
        return left + 16 + _STEP * len(self.plan.networks)

    def _box_y(self, top: float, index: int) -> float:
        return top + _HEAD + index * (_BOX + _GAP)

    def _box(self, container: Placed, left: float, y: float) -> Markup:
        x = self._box_x(left)
        ports = self._ports(container.service)
        hover = [container.name, *(f"{net} {ip}" for net, ip in container.addresses.items())]
        fit = int((self.label - 20) / 7.3)
        return tag(
            "g", tag("title", clean("\n".join(hover + ports), 600)),
            tag("rect", x=x, y=y, width=self.label, height=_BOX, rx=4, class_="box"),
            text(x + 10, y + (14 if ports else 20), shorten(container.name, fit), "name"),
            *([text(x + 10, y + 26, shorten(" ".join(ports), fit + 3), "tiny muted")] if ports else []),
        )  # fmt: skip

    def _ports(self, service: str) -> list[str]:
        target = self._target(service)
        if target is None:
            return []
        host = ["host network"] if target.host else []
        return host + [f":{port.get('published') or '?'} to {port.get('target')}" for port in target.ports]

    def _target(self, service: str) -> Target | None:
        return next((target for target in self.plan.targets if target.service == service), None)

    # --- lines ---------------------------------------------------------------------------------------------

    def _risers(self, name: str, left: float, top: float, hosts_top: float) -> list[Markup]:
        parts = []
        for index, net in enumerate(self.plan.networks):
            rows = [i for i, c in enumerate(self.hosts[name][:_MAX_BOXES]) if self._on(c, net.name)]
            x = left + 12 + _STEP * index
            rail = top + _RAIL * index + 20
            parts += self._bus(rows, x, self._box_x(left), end=rail, top=hosts_top, colour=index)
        return parts

    def _mounts(self, name: str, left: float, hosts_top: float, cans_top: float) -> list[Markup]:
        parts = []
        edge = self._box_x(left) + self.label
        for level, (colour, volume) in enumerate(self._volumes()):
            rows = [i for i, c in enumerate(self.hosts[name][:_MAX_BOXES]) if self._mounted(c, volume.name)]
            can = cans_top + level * (_CAN + 12) + 6
            parts += self._bus(rows, edge + 8 + _STEP * level, edge, end=can, top=hosts_top, colour=colour)
        return parts

    def _volumes(self) -> list[tuple[int, VolumePlan]]:
        """With their colours. What one host has alone hangs above what all share, so that no line crosses it."""
        numbered = enumerate(self.plan.volumes, start=len(self.plan.networks))
        return sorted(numbered, key=lambda pair: pair[1].shared)

    def _cans(self, row: Sequence[str], top: float) -> list[Markup]:
        """A shared volume is one cylinder under all hosts that mount it; any other is one for each host."""
        parts = []
        for level, (colour, volume) in enumerate(self._volumes()):
            users = [
                n for n, name in enumerate(row) if any(self._mounted(c, volume.name) for c in self.hosts[name])
            ]
            groups = [users] if volume.shared else [[user] for user in users]
            note = f"{volume.driver} · {'shared' if volume.shared else 'per host'}"
            at = (self._box_x(0) + self.label + 16 + _STEP * level, top + level * (_CAN + 12))
            parts += [self._can(volume.name, note, group, at=at, colour=colour) for group in groups if group]
        return parts

    def _can(
        self, name: str, note: str, columns: Sequence[int], *, at: tuple[float, float], colour: int
    ) -> Markup:
        pitch = self.host_width + _HOST_GAP
        width = 120 + (columns[-1] - columns[0]) * pitch
        return cylinder(at[0] - 120 + columns[0] * pitch, at[1], width, (name, note), f"can c{colour % PALETTE}")

    def _bus(
        self, rows: Sequence[int], x: float, edge: float, *, end: float, top: float, colour: int
    ) -> list[Markup]:
        """A riser at `x` from `end` to the farthest container in `rows`, a stub and a dot for each."""
        if not rows:
            return []
        shift = self._shift(colour if end <= top else colour - len(self.plan.networks), up=end <= top)
        heights = [self._box_y(top, row) + _BOX / 2 + shift for row in rows]
        far = min(heights) if end > top else max(heights)
        lines = "".join(f"M{x:.1f} {y:.1f}H{edge:.1f}" for y in heights)
        wire = tag("path", d=f"M{x:.1f} {end:.1f}V{far:.1f}{lines}", class_=f"wire c{colour % PALETTE}")
        return [wire, *(tag("circle", cx=edge, cy=y, r=3, class_=f"dot c{colour % PALETTE}") for y in heights)]

    def _shift(self, index: int, *, up: bool) -> float:
        """How far from a box's middle a stub ends, so that several on one box stay apart."""
        count = len(self.plan.networks if up else self.plan.volumes)
        step = min(10.0, 20.0 / count)
        return (index - (count - 1) / 2) * step

    def _on(self, container: Placed, network: str) -> bool:
        if container.addresses:
            return network in container.addresses
        target = self._target(container.service)
        return target is not None and network in target.networks

    def _mounted(self, container: Placed, volume: str) -> bool:
        target = self._target(container.service)
        return target is not None and volume in target.mounts


def cylinder(x: float, y: float, width: float, words: tuple[str, str], class_: str) -> Markup:
    """Body, lid, name and note."""
    name, note = words
    body = f"M{x:.1f} {y + 7:.1f}v{_CAN - 14:.0f}a{width / 2:.1f} 7 0 0 0 {width:.1f} 0v-{_CAN - 14:.0f}"
    middle = x + width / 2
    fit = max(8, int((width - 8) / 7.3))
    return tag(
        "g", tag("title", clean(f"volume {name}, {note}")), tag("path", d=body, class_=class_),
        tag("ellipse", cx=middle, cy=y + 7, rx=width / 2, ry=7, class_=class_),
        text(middle, y + 28, shorten(name, fit), "name strong", "middle"),
        text(middle, y + 42, shorten(note, fit + 4), "tiny muted", "middle"),
    )  # fmt: skip
