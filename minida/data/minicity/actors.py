"""What moves: cars, trucks, buses, trams, people, bicycles, motorcycles and their riders."""

import math

from minida.data.minicity.domains import Domain
from minida.data.minicity.sketch import CIRCLE, Paint, Sketch, pick
from minida.data.minicity.street import DARK, jitter

PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = range(11, 19)
# Side views as closed outlines (l forward, y up), clockwise from the lower rear; the parts of each edge in turn:
# b body, g glass, r rear with lamps, f front with lamps.
CARS = (
    ("saloon", "rbgbgbf", ((-2.2, 0.3), (-2.25, 0.98), (-1.55, 1.02), (-0.95, 1.43), (0.45, 1.45), (1.15, 1.0),
                           (2.15, 0.82), (2.2, 0.3))),
    ("hatch", "rgbgbf", ((-1.95, 0.3), (-2.0, 0.95), (-1.6, 1.46), (0.5, 1.5), (1.15, 1.02), (1.95, 0.85),
                         (2.0, 0.3))),
    ("estate", "rgbgbf", ((-2.3, 0.4), (-2.35, 1.08), (-2.05, 1.7), (0.45, 1.74), (1.1, 1.18), (2.25, 1.05),
                          (2.3, 0.4))),
    ("van", "rgbgbf", ((-2.4, 0.35), (-2.45, 1.2), (-2.35, 1.98), (1.3, 2.02), (2.0, 1.25), (2.45, 1.05),
                       (2.45, 0.35))),
)  # fmt: skip
GLASS = (44.0, 54.0, 64.0)


class Pose:
    """A place and a heading on the ground: local (l forward, y, w to the right) to the world."""

    def __init__(self, s: Sketch, x: float, z: float, heading: float) -> None:
        self.s, self.x, self.z = s, x, z
        self.sin, self.cos = math.sin(heading), math.cos(heading)
        self.near = 1 if s.across(x, z) * self.cos < z * self.sin else -1  # the side that the camera sees

    def at(self, l: float, y: float, w: float) -> tuple[float, float, float]:
        return self.x + l * self.sin + w * self.cos, y, self.z + l * self.cos - w * self.sin

    def facing(self, l: float, nl: float) -> bool:
        """Does a face at l whose normal is nl along l look at the camera?"""
        x, z = self.x + l * self.sin, self.z + l * self.cos
        return -nl * (self.s.across(x, z) * self.sin + z * self.cos) > 0

    def side(self, points, w: float, paint: Paint, tone: float = 1.0) -> None:
        """A polygon of (l, y) on the visible side."""
        n = self.near
        lit = self.s.lit(n * self.cos, 0, -n * self.sin)
        self.s.face([self.at(l, y, n * w) for l, y in points], paint, lit, tone)

    def strip(self, edge: tuple, widths: tuple[float, float], paint: Paint, tone: float = 1.0) -> None:
        """The face across the body over one edge ((l, y), (l, y)) of its outline."""
        (l0, y0), (l1, y1) = edge
        length = math.hypot(l1 - l0, y1 - y0) or 1.0
        nl, ny = -(y1 - y0) / length, (l1 - l0) / length
        a, b, at = *widths, self.at
        lit = self.s.lit(nl * self.sin, ny, nl * self.cos)
        self.s.face([at(l0, y0, -a), at(l0, y0, a), at(l1, y1, b), at(l1, y1, -b)], paint, lit, tone)

    def footprint(self, l0: float, l1: float, w: float) -> list[tuple[float, float]]:
        return [(p[0], p[2]) for p in (self.at(l, 0, n) for l, n in ((l0, -w), (l0, w), (l1, w), (l1, -w)))]

    def wheel(self, l: float, r: float, w: float, paint: Paint, hub: float = 1.0) -> None:
        self.side([(l + r * a, r + r * b) for a, b in CIRCLE[::2]], w, paint, 1.0)
        grey = Paint((150.0, 152.0, 154.0), paint.label, 0.0)
        self.side([(l + 0.55 * r * a, r + 0.55 * r * b) for a, b in CIRCLE[::2]], w, grey, hub)


def lamps(p: Pose, edge: tuple, w: float, rear: bool, label: int) -> None:
    """Lamps, bumper and number plate (or grille) on a vehicle's end."""
    (l, y0), (_, y1) = edge
    h, paint = y1 - y0, Paint(DARK, label, 0.02)
    p.strip(((l, y0), (l, y0 + 0.3 * h)), (w, w), paint, 1.3)
    lit = Paint((214.0, 40.0, 36.0) if rear else (250.0, 246.0, 230.0), label, 0.0)
    for n in (-1, 1):
        at = p.at
        a, b, c, d = n * w, n * w * 0.66, y0 + 0.55 * h, y0 + 0.88 * h
        p.s.face([at(l, c, a), at(l, c, b), at(l, d, b), at(l, d, a)], lit, 0.5, 1.1)
    plate = ((l, y0 + 0.35 * h), (l, y0 + 0.52 * h))
    p.strip(plate, (0.3, 0.3), Paint((230.0, 228.0, 214.0) if rear else DARK, label, 0.0))


def car(s: Sketch, d: Domain, pose: tuple[float, float, float], u: list[float]) -> None:
    p, (name, parts, line) = Pose(s, *pose), pick(CARS, u[0])
    w, body, glass = 0.88 + 0.06 * u[2], Paint(pick(d.car, u[1]), CAR, 0.02), Paint(GLASS, CAR, 0.02)
    roof, belt = max(y for _, y in line), line[1][1]
    half = [w * (1 - 0.2 * max(0.0, (y - belt) / (roof - belt))) for _, y in line]
    foot = p.footprint(line[0][0], line[-1][0], w)
    s.shade(foot, 0.0, roof * 0.9)
    s.contact(foot)
    p.side([(line[0][0] + 0.2, 0.12), (line[-1][0] - 0.2, 0.12), (line[-1][0], 0.5), (line[0][0], 0.5)], w, Paint(DARK, CAR))
    edges = []
    for k, part in enumerate(parts):
        (l0, y0), (l1, y1) = line[k], line[k + 1]
        if y1 != y0 and p.facing((l0 + l1) / 2, y0 - y1) or (l1 - l0 > 0.4 and s.eye > (y0 + y1) / 2):
            edges.append((-abs(p.at((l0 + l1) / 2, 0, 0)[2]), k, part))
    for _, k, part in sorted(edges):
        edge, widths = (line[k], line[k + 1]), (half[k], half[k + 1])
        p.strip(edge, widths, body)
        if part == "g":
            p.strip(edge, (widths[0] * 0.9, widths[1] * 0.9), glass, 1.1)
        elif part in "rf":
            lamps(p, edge, w, part == "r", CAR)
    n, at = p.near, p.at
    lit = s.lit(n * p.cos, 0, -n * p.sin)
    s.face([at(l, y, n * h) for (l, y), h in zip(line, half, strict=True)], body, lit)
    p.side([(line[0][0], 0.3), (line[-1][0], 0.3), (line[-1][0], 0.5), (line[0][0], 0.5)], w, body, 0.8)
    top = [(l, y, h) for (l, y), h in zip(line, half, strict=True) if y > belt + 0.15]
    (la, ya, ha), (lb, _, _) = top[0], top[-1]
    lo, hi, hw = belt + 0.06, ya - 0.1, w * (1 - 0.02)
    for a, b in ((0.0, 0.46), (0.52, 1.0)):
        f = line[2][0] if name == "saloon" else line[1][0]
        g = line[-3][0]
        bottom = (f + 0.25 + (g - f - 0.4) * a, f + 0.25 + (g - f - 0.4) * b)
        upper = (la + 0.12 + (lb - la - 0.15) * a, la + 0.12 + (lb - la - 0.15) * b)
        quad = [at(bottom[0], lo, n * hw), at(bottom[1], lo, n * hw), at(upper[1], hi, n * ha), at(upper[0], hi, n * ha)]
        s.face(quad, glass, lit * 0.5, 1.0)
    for l in (line[0][0] + 0.75, line[-1][0] - 0.75):
        p.wheel(l, 0.34, w * 1.01, Paint(DARK, CAR))


def coach(p: Pose, size: tuple, paint: Paint, band: tuple, wheels: tuple) -> None:
    """A long box with a band of windows: size (l0, l1, w, y0, y1), band (y0, y1) of glass or None."""
    l0, l1, w, y0, y1 = size
    glass, foot = Paint(GLASS, paint.label, 0.02), p.footprint(l0, l1, w)
    p.s.shade(foot, 0.0, y1)
    p.s.contact(foot)
    p.side([(l0, 0.15), (l1, 0.15), (l1, y0), (l0, y0)], w, Paint(DARK, paint.label))
    for rear, edge in ((True, ((l0, y0), (l0, y1))), (False, ((l1, y1), (l1, y0)))):
        l = edge[0][0]
        if p.facing(l, -1.0 if rear else 1.0):
            p.strip(edge, (w, w), paint)
            ends = ((l, band[1]), (l, band[0] - 0.2)) if band else ((l, y1 - 0.25), (l, y0 + 0.35))
            ends = ends[::-1] if rear else ends
            p.strip(ends, (w * 0.86, w * 0.86), glass if band else paint, 1.15 if band else 0.86)
            low = ((l, y0), (l, y0 + 0.7))
            lamps(p, low, w * 0.95, rear, paint.label)
    p.side([(l0, y0), (l1, y0), (l1, y1), (l0, y1)], w, paint)
    p.side([(l0, y0), (l1, y0), (l1, y0 + 0.35), (l0, y0 + 0.35)], w, paint, 0.75)
    if band:
        count = max(2, int((l1 - l0) / 1.5))
        step = (l1 - l0 - 0.4) / count
        for k in range(count):
            a, low = l0 + 0.2 + k * step, y0 + 0.1 if k % 4 == 2 else band[0]
            p.side([(a + 0.08, low), (a + step - 0.08, low), (a + step - 0.08, band[1]), (a + 0.08, band[1])], w, glass)
    for l in wheels:
        p.wheel(l, 0.48, w * 1.01, Paint(DARK, paint.label), 0.8)


def bus(s: Sketch, d: Domain, pose: tuple, u: list[float]) -> None:
    paint = Paint(pick(d.bus_body, u[0]), BUS, 0.03)
    coach(Pose(s, *pose), (-5.5, 5.5, 1.28, 0.4, 3.1), paint, (1.35, 2.55), (-3.3, 3.6))


def train(s: Sketch, d: Domain, pose: tuple, u: list[float]) -> None:
    """A tram of three cars, the far one first."""
    x, z, heading = pose
    paint = Paint(pick(d.train_body, u[0]), TRAIN, 0.03)
    for k in (2, 1, 0):
        p = Pose(s, x, z + 9.4 * k, heading)
        coach(p, (-4.5, 4.5, 1.3, 0.3, 3.4), paint, (1.5, 2.6), ())
        p.side([(-4.5, 2.75), (4.5, 2.75), (4.5, 3.05), (-4.5, 3.05)], 1.3, paint, 1.45)
        p.side([(-4.3, 3.4), (4.3, 3.4), (3.9, 3.75), (-3.9, 3.75)], 0.8, paint, 0.6)


def truck(s: Sketch, d: Domain, pose: tuple, u: list[float]) -> None:
    p, cargo = Pose(s, *pose), Paint(pick(d.truck_body, u[0]), TRUCK, 0.05)
    cab = Paint(pick(d.car, u[1]), TRUCK, 0.02)
    boxes = [((2.0, 3.9, 1.15, 0.5, 2.6), cab, (1.6, 2.4), (2.8,)), ((-3.9, 1.8, 1.25, 0.9, 3.5), cargo, None, (-2.9, -1.8))]
    for box in boxes if p.facing(0.0, -1.0) else boxes[::-1]:
        coach(p, *box)


def person(s: Sketch, d: Domain, spot: tuple[float, float], u: list[float]) -> None:
    """A pedestrian in mid-stride or standing: legs, coat, arms, head, hair, and for some a bag."""
    x, z = spot
    k, side = (1.55 + 0.3 * u[0]) / 1.75, 1.0 if u[1] < 0.5 else -1.0
    trousers, coat = Paint(pick(d.cloth, u[2]), PERSON, 0.04), Paint(pick(d.cloth, u[3]), PERSON, 0.04)
    skin, hair = Paint(pick(d.skin, u[4]), PERSON, 0.0), Paint((52.0 + 90 * u[5], 42.0 + 70 * u[5], 38.0), PERSON, 0.05)
    stride, at = 0.05 + 0.3 * u[6], lambda a, y: (x + a * k * side, y * k, z)
    s.limb(at(-0.06, 0.85), at(-stride, 0.04), (0.19 * k, 0.13 * k), trousers, 0.75)
    s.limb(at(0.06, 0.85), at(stride, 0.0), (0.19 * k, 0.13 * k), trousers)
    s.limb(at(0.2, 1.4), at(0.2 + 0.5 * stride, 0.8), (0.14 * k, 0.1 * k), coat, 0.75)
    s.limb(at(0, 1.5), at(0, 0.78 - 0.3 * (u[7] < 0.3)), (0.42 * k, 0.4 * k), coat)
    s.limb(at(0.12, 1.48), at(0.12, 0.8), (0.16 * k, 0.14 * k), coat, 0.82)
    s.limb(at(-0.2, 1.42), at(-0.2 - 0.5 * stride, 0.82), (0.14 * k, 0.1 * k), coat, 0.9)
    s.disc(at(0, 1.64), 0.115 * k, 0.14 * k, skin)
    s.limb(at(-0.02, 1.66), at(-0.02, 1.79), (0.24 * k, 0.18 * k), hair)
    if u[8] < 0.3:
        s.upright((x - 0.42 * k, x - 0.16 * k, 0.5 * k, 0.85 * k), z, Paint(pick(d.car, u[9]), PERSON, 0.02))
    s.shade([(x - 0.2, z), (x + 0.2, z)], 0.0, 1.7 * k)
    s.contact([(x + 0.4 * a, z + 0.3 * b) for a, b in CIRCLE[::2]])


def mount(s: Sketch, d: Domain, pose: tuple[float, float, float], u: list[float], kind: tuple[bool, bool]) -> None:
    """A bicycle or motorcycle, alone or ridden: kind (motor, ridden). Wheels are discs, as annotators draw them."""
    motor, ridden = kind
    p, label = Pose(s, *pose), MOTORCYCLE if motor else BICYCLE
    frame, tyre = Paint(pick(d.car if motor else d.cycle, u[0]), label, 0.02), Paint(DARK, label, 0.02)
    base, r, w = (0.7, 0.34, 0.09) if motor else (0.54, 0.36, 0.035)
    s.contact(p.footprint(-base - 0.3, base + 0.3, 0.25))
    s.shade(p.footprint(-base - 0.3, base + 0.3, 0.15), 0.0, 1.7 if ridden else 0.9)
    for l in (base, -base) if p.facing(0.0, -1.0) else (-base, base):
        edge = ((l, 0.0), (l, 2 * r))
        p.strip(edge, (w, w), tyre)
        p.wheel(l, r, w, tyre, 0.75)
    if motor:
        body = ((-0.85, 0.78), (-0.3, 0.84), (0.1, 1.02), (0.5, 0.98), (0.62, 0.7), (0.3, 0.32), (-0.35, 0.32))
        rear, front = ((-0.8, 0.45), (-0.8, 0.85)), ((0.6, 1.2), (0.6, 0.6))
        p.strip(front if p.facing(0.0, 1.0) else rear, (0.26, 0.2), frame, 0.9)
        p.side(body, 0.16, frame)
        p.side([(-0.3, 0.32), (0.3, 0.32), (0.25, 0.6), (-0.25, 0.6)], 0.17, tyre, 1.8)
        s.limb(p.at(0.5, 1.08, -0.36), p.at(0.5, 1.08, 0.36), (0.07, 0.07), tyre)
    else:
        at = {"r": (-0.54, 0.36), "s": (-0.18, 0.94), "c": (-0.08, 0.33), "h": (0.36, 0.94), "f": (0.54, 0.36)}
        for a, b in ("rs", "rc", "sc", "sh", "ch", "hf"):
            s.limb(p.at(*at[a], 0.0), p.at(*at[b], 0.0), (0.08, 0.08), frame)
        s.limb(p.at(0.42, 1.04, -0.3), p.at(0.42, 1.04, 0.3), (0.06, 0.06), tyre)
        s.limb(p.at(-0.3, 0.98, 0.0), p.at(-0.08, 0.98, 0.0), (0.14, 0.1), tyre)
    if ridden:
        rider(p, d, u, motor)


def rider(p: Pose, d: Domain, u: list[float], motor: bool) -> None:
    coat, trousers = (Paint(pick(d.cloth, v), RIDER, 0.04) for v in u[1:3])
    head = Paint(pick(d.car, u[3]) if motor or u[4] < 0.5 else (70.0, 56.0, 46.0), RIDER, 0.02)
    skin, n, at, limb = Paint(pick(d.skin, u[5]), RIDER, 0.0), p.near, p.at, p.s.limb
    low = -0.08 if motor else 0.0
    hip, neck = (-0.22, 0.98 + low), (0.1, 1.5 + low)
    for w in (-0.14 * n, 0.14 * n):
        tone = 1.0 if w * n > 0 else 0.7
        limb(at(*hip, w), at(0.2, 0.72, w), (0.2, 0.16), trousers, tone)
        limb(at(0.2, 0.72, w), at(-0.05, 0.26, w), (0.16, 0.12), trousers, tone)
    limb(at(neck[0], neck[1] - 0.08, -0.2 * n), at(0.42, 1.08, -0.28 * n), (0.13, 0.1), coat, 0.75)
    limb(at(hip[0], hip[1] - 0.08, 0), at(neck[0], neck[1], 0), (0.38, 0.44), coat)
    limb(at(neck[0], neck[1] - 0.08, 0.2 * n), at(0.42, 1.08, 0.28 * n), (0.14, 0.1), coat, 0.86)
    x, y, z = at(neck[0] + 0.06, neck[1] + 0.2, 0)
    p.s.disc((x, y - 0.03, z), 0.13, 0.16, skin)
    p.s.disc((x, y + 0.05, z), 0.16, 0.13 if not motor else 0.17, head)
