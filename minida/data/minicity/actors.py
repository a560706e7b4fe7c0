"""What moves: cars, trucks, buses, trams, people, bicycles, motorcycles and their riders."""

import math
from typing import Any

from minida.data.minicity.domains import tables
from minida.data.minicity.sketch import CIRCLE, Paint, Sketch, pick

ROAD = 0
PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = range(11, 19)
DARK, GLASS, GREY = (30.0, 30.0, 34.0), (44.0, 54.0, 64.0), (150.0, 152.0, 154.0)
WHITE, RED, LAMP = (230.0, 228.0, 214.0), (214.0, 40.0, 36.0), (250.0, 246.0, 230.0)


class Pose:
    """A place and a heading on the ground: local (f forward, y up, w to the right) to the world."""

    def __init__(self, s: Sketch, place: tuple[float, float, float], shape: dict | None = None) -> None:
        self.s, (self.x, self.z, heading) = s, place
        self.sin, self.cos = math.sin(heading), math.cos(heading)
        self.near = 1 if s.across(self.x, self.z) * self.cos < self.z * self.sin else -1  # the side that is seen
        self.shape = shape or {"half": 0.04, "belt": 9.0, "taper": 0.0, "outline": ((0.0, 9.9),)}
        self.roof = max(y for _, y in self.shape["outline"])

    def at(self, f: float, y: float, w: float) -> tuple[float, float, float]:
        return self.x + f * self.sin + w * self.cos, y, self.z + f * self.cos - w * self.sin

    def half(self, y: float) -> float:
        """Half the body's width at a height."""
        shape = self.shape
        return shape["half"] * (1 - shape["taper"] * max(0.0, (y - shape["belt"]) / (self.roof - shape["belt"])))

    def facing(self, f: float, y: float, normal: tuple[float, float]) -> bool:
        """Is a face at (f, y) with this normal (along f, up) seen from the camera?"""
        x, _, z = self.at(f, y, 0)
        along = self.s.across(x, z) * self.sin + z * self.cos
        return normal[1] * (self.s.eye - y) - normal[0] * along > 0

    def side(self, points, paint: Paint, tone: float = 1.0, out: float = 1.0) -> None:
        """A polygon of (f, y) on the visible side."""
        n = self.near
        lit = self.s.lit(n * self.cos, 0, -n * self.sin)
        self.s.face([self.at(f, y, n * out * self.half(y)) for f, y in points], paint, lit, tone)

    def strip(self, edge: tuple, paint: Paint, tone: float = 1.0, span: tuple = (-1.0, 1.0)) -> None:
        """The face across the body over an edge ((f, y), (f, y)); `span` in half widths."""
        (f0, y0), (f1, y1) = edge
        length, (a, b), at = math.hypot(f1 - f0, y1 - y0) or 1.0, span, self.at
        nl, ny, h0, h1 = (y0 - y1) / length, (f1 - f0) / length, self.half(y0), self.half(y1)
        corners = [at(f0, y0, a * h0), at(f0, y0, b * h0), at(f1, y1, b * h1), at(f1, y1, a * h1)]
        self.s.face(corners, paint, self.s.lit(nl * self.sin, ny, nl * self.cos), tone)

    def footprint(self, f0: float, f1: float, w: float) -> list[tuple[float, float]]:
        return [self.at(f, 0, n)[::2] for f, n in ((f0, -w), (f0, w), (f1, w), (f1, -w))]

    def wheel(self, f: float, r: float, label: int) -> None:
        for k, colour in ((1.0, DARK), (0.55, GREY)):
            self.side([(f + k * r * a, r + k * r * b) for a, b in CIRCLE[::2]], Paint(colour, label), 0.9, 1.02)


def vehicle(s: Sketch, place: tuple, shape: dict, body: Paint) -> None:
    """Paint the faces of a vehicle that the camera sees, the far ones first."""
    p, line, label = Pose(s, place, shape), shape["outline"], body.label
    (f0, low), (f1, _), dark = line[0], line[-1], Paint(DARK, label)
    foot = p.footprint(f0, f1, shape["half"])
    s.shade(foot, 0.0, p.roof * 0.92)
    s.contact(foot)
    p.side([(f0 + 0.2, 0.12), (f1 - 0.2, 0.12), (f1, low + 0.1), (f0, low + 0.1)], dark)
    seen = []
    for part, a, b in zip(shape["parts"], line, line[1:], strict=False):
        f, y = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
        if p.facing(f, y, (a[1] - b[1], b[0] - a[0])):
            seen.append((-p.at(f, y, 0)[2], (a, b), part))
    for _, edge, part in sorted(seen):
        p.strip(edge, body)
        if part == "g":
            p.strip(edge, Paint(GLASS, label), 1.1, (-0.9, 0.9))
        elif part != "b":
            paint_end(p, edge, part, body)
    p.side(line, body)
    p.side([(f0, low), (f1, low), (f1, low + 0.25), (f0, low + 0.25)], body, 0.78)
    for window in shape["windows"]:
        p.side(window, Paint(GLASS, label))
    for f, r in shape["wheels"]:
        p.wheel(f, r, label)


def paint_end(p: Pose, edge: tuple, part: str, body: Paint) -> None:
    """Bumper, lamps and number plate of a vehicle's end; above them what `part` says (see world.toml)."""
    (f, low), (_, high) = sorted(edge, key=lambda point: point[1])
    rear, tall = edge[0][1] < edge[1][1], part in "RFD"
    top = low + 0.8 if tall else high

    def band(a: float, b: float, colour: tuple, tone: float = 1.0, span: tuple = (-1.0, 1.0)) -> None:
        y0, y1 = low + a * (top - low), low + b * (top - low)
        p.strip(((f, y0), (f, y1)) if rear else ((f, y1), (f, y0)), Paint(colour, body.label), tone, span)

    if tall:
        tone, scale = (0.84, 1 / 0.8) if part == "D" else (1.15, 1 / 0.8)
        band(0.95 * scale, (high - low - 0.3) * scale, body.colour if part == "D" else GLASS, tone, (-0.88, 0.88))
        if part == "D":
            band(0.95 * scale, (high - low - 0.3) * scale, DARK, 1.5, (-0.03, 0.03))
    band(0.0, 0.3, DARK, 1.3)
    for span in ((-0.96, -0.64), (0.64, 0.96)):
        band(low / (low - top), 0.0, DARK, 0.8, span)  # the tyres
        band(0.52, 0.86, RED if rear else LAMP, 1.15, span)
    band(0.36, 0.54, WHITE if rear else DARK, 1.0, (-0.32, 0.32))


def car(s: Sketch, d: Any, place: tuple[float, float, float], u: list[float]) -> None:
    shape = tables()["shape"][pick(("saloon", "hatch", "estate", "van"), u[0])]
    vehicle(s, place, shape, Paint(pick(d.car, u[1]), CAR))


def bus(s: Sketch, d: Any, place: tuple[float, float, float], u: list[float]) -> None:
    vehicle(s, place, tables()["shape"]["bus"], Paint(pick(d.coach, u[0]), BUS))


def train(s: Sketch, d: Any, place: tuple[float, float, float], u: list[float]) -> None:
    """A tram of three cars, the far one first, and its rails."""
    x, z, heading = place
    steel = Paint((156.0, 158.0, 164.0), ROAD)
    for near in range(1, int(z) - 4, 3):
        for rail in (x - 0.78, x + 0.68):
            s.mat((rail, rail + 0.12), (near, near + 3), steel)
    for k in (2, 1, 0):
        vehicle(s, (x, z + 9.2 * k, heading), tables()["shape"]["tram"], Paint(pick(d.tram, u[0]), TRAIN))


def truck(s: Sketch, d: Any, place: tuple[float, float, float], u: list[float]) -> None:
    cargo, cab = Paint(pick(d.cargo, u[0]), TRUCK, 0.05), Paint(pick(d.car, u[1]), TRUCK)
    order = [("cab", cab), ("cargo", cargo)]
    for name, paint in order if math.cos(place[2]) > 0 else order[::-1]:
        vehicle(s, place, tables()["shape"][name], paint)


def figure(p: Pose, name: str, paints: tuple[Paint, ...], scale: float = 1.0, stride: float = 0.0) -> None:
    """Paint the limbs of world.toml, the far side first."""
    n = p.near * scale
    for part, f0, y0, w0, f1, y1, w1, a, b, tone, step in tables()["limbs"][name]:
        start, end = p.at(f0 * scale, y0 * scale, w0 * n), p.at((f1 + stride * step) * scale, y1 * scale, w1 * n)
        p.s.limb(start, end, (a * scale, b * scale), paints[part], tone)


def person(s: Sketch, d: Any, place: tuple[float, float, float], u: list[float]) -> None:
    """A pedestrian in mid-stride or standing, some with a bag."""
    scale, (x, z, _) = (1.55 + 0.3 * u[0]) / 1.8, place
    hair = (52.0 + 90 * u[5], 42.0 + 70 * u[5], 38.0)
    colours = (pick(d.cloth, u[2]), pick(d.cloth, u[3]), pick(d.skin, u[4]), hair)
    figure(Pose(s, place), "person", tuple(Paint(c, PERSON) for c in colours), scale, 0.05 + 0.3 * u[6])
    if u[8] < 0.3:
        s.upright((x - 0.42 * scale, x - 0.16 * scale, 0.5 * scale, 0.85 * scale), z, Paint(pick(d.car, u[9]), PERSON))
    s.shade([(x - 0.2, z), (x + 0.2, z)], 0.0, 1.75 * scale)
    s.contact([(x + 0.4 * a, z + 0.3 * b) for a, b in CIRCLE[::2]])


def mount(s: Sketch, d: Any, place: tuple[float, float, float], u: list[float], kind: tuple[str, bool]) -> None:
    """A bicycle or motorcycle, alone or ridden. Wheels are painted and labelled as discs, as annotators do."""
    name, ridden = kind
    motor, p = name == "motorcycle", Pose(s, place)
    label, base, r = (MOTORCYCLE, 0.7, 0.34) if motor else (BICYCLE, 0.54, 0.36)
    frame, tyre = Paint(pick(d.car if motor else d.cycle, u[0]), label), Paint(DARK, label)
    s.contact(p.footprint(-base - 0.3, base + 0.3, 0.25))
    s.shade(p.footprint(-base - 0.3, base + 0.3, 0.15), 0.0, 1.7 if ridden else 0.9)
    for f in (base, -base) if p.cos > 0 else (-base, base):
        s.limb(p.at(f, 0, 0), p.at(f, 2 * r, 0), (0.2, 0.2) if motor else (0.07, 0.07), tyre)  # seen from behind
        p.wheel(f, r, label)
    figure(p, name, (frame, tyre, Paint(GREY, label)))
    if ridden:
        helmet = pick(d.car, u[3]) if motor or u[4] < 0.5 else (70.0, 56.0, 46.0)
        colours = (pick(d.cloth, u[1]), pick(d.cloth, u[2]), pick(d.skin, u[5]), helmet)
        figure(p, "rider", tuple(Paint(c, RIDER) for c in colours))
