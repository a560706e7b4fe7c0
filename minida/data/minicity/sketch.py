"""A scene as a list of flat, coloured polygons in metres, in drawing order."""

import math
from typing import NamedTuple

Point = tuple[float, float, float]  # x to the right, y up from the road, z ahead of the camera
CIRCLE = tuple((math.cos(k * math.pi / 8), math.sin(k * math.pi / 8)) for k in range(16))


class Paint(NamedTuple):
    """A material: sRGB colour, class, and how much of the surface texture it shows."""

    colour: tuple[float, float, float]
    label: int
    grain: float = 0.05


def pick(palette: tuple, u: float):
    """The palette's entry for a number u in 0..1; the same index in both domains."""
    return palette[min(int(u * len(palette)), len(palette) - 1)]


def hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Convex hull of points in the plane (Andrew's monotone chain)."""
    points = sorted(points)
    chains = []
    for run in (points, points[::-1]):
        chain: list = []
        for p in run:
            while len(chain) > 1:
                (ax, ay), (bx, by) = chain[-2], chain[-1]
                if (bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax) > 0:
                    break
                chain.pop()
            chain.append(p)
        chains += chain[:-1]
    return chains


class Sketch:
    """Collects faces; knows where the camera and the sun are, so that builders can leave out what is hidden."""

    def __init__(self, eye: float, bend: float, sun: Point) -> None:
        self.eye, self.bend, self.sun = eye, bend, sun
        self.drift = (-sun[0] / sun[1], -sun[2] / sun[1])  # a shadow's way over the ground, per metre of height
        self.points: list[Point] = []
        self.rows: list[tuple] = []  # per face: number of points, r, g, b, label, grain, sunlit, tone, on the ground
        self.shadows: list[tuple[list[tuple[float, float]], float]] = []

    def across(self, x: float, z: float) -> float:
        """Where the camera sees x at the depth z: the street bends away as a parabola."""
        return x + self.bend * z * z

    def lit(self, nx: float, ny: float, nz: float) -> float:
        """Share of the sunlight on a face with this unit normal."""
        return max(0.0, nx * self.sun[0] + ny * self.sun[1] + nz * self.sun[2])

    def face(self, points: list[Point], paint: Paint, lit: float | None = None, tone: float = 1.0) -> None:
        self.points += points
        lit = max(0.0, -self.sun[2]) if lit is None else lit
        self.rows.append((len(points), *paint.colour, paint.label, paint.grain, lit, tone, 0.0))

    def ground(self, points: list[tuple[float, float]], paint: Paint, y: float = 0.0, tone: float = 1.0) -> None:
        self.points += [(x, y, z) for x, z in points]
        self.rows.append((len(points), *paint.colour, paint.label, paint.grain, self.sun[1], tone, 1.0))

    def upright(self, box: tuple[float, float, float, float], z: float, paint: Paint, tone: float = 1.0) -> None:
        """A rectangle (x0, x1, y0, y1) that faces the camera."""
        x0, x1, y0, y1 = box
        self.face([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], paint, None, tone)

    def block(self, xs: tuple, ys: tuple, zs: tuple, paint: Paint, tone: float = 1.0) -> None:
        """An axis-aligned box: top, the side towards the camera's axis, and the near end."""
        (x0, x1), (y0, y1), (z0, z1) = xs, ys, zs
        if self.eye > y1:
            self.face([(x0, y1, z0), (x1, y1, z0), (x1, y1, z1), (x0, y1, z1)], paint, self.sun[1], tone)
        if self.across(x0, z0) > 0 or self.across(x1, z0) < 0:
            x, n = (x0, -1.0) if self.across(x0, z0) > 0 else (x1, 1.0)
            self.face([(x, y0, z0), (x, y0, z1), (x, y1, z1), (x, y1, z0)], paint, self.lit(n, 0, 0), tone)
        self.upright((x0, x1, y0, y1), z0, paint, tone)

    def limb(self, p: Point, q: Point, widths: tuple[float, float], paint: Paint, tone: float = 1.0) -> None:
        """A straight bar from p to q, of these widths at its ends, seen face on."""
        dx, dy = q[0] - p[0], q[1] - p[1]
        length = (dx * dx + dy * dy) ** 0.5 or 1.0
        nx, ny = -dy / length / 2, dx / length / 2
        (a, b), (px, py, pz), (qx, qy, qz) = widths, p, q
        corners = [(px + nx * a, py + ny * a, pz), (qx + nx * b, qy + ny * b, qz)]
        corners += [(qx - nx * b, qy - ny * b, qz), (px - nx * a, py - ny * a, pz)]
        self.face(corners, paint, None, tone)

    def disc(self, c: Point, rx: float, ry: float, paint: Paint, tone: float = 1.0, step: int = 2) -> None:
        x, y, z = c
        self.face([(x + rx * u, y + ry * v, z) for u, v in CIRCLE[::step]], paint, None, tone)

    def shade(self, footprint: list[tuple[float, float]], low: float, high: float) -> None:
        """The sun's shadow of an upright body over its footprint, from height `low` to `high`."""
        dx, dz = self.drift
        swept = [(x + dx * h, z + dz * h) for x, z in footprint for h in (low, high)]
        self.shadows.append((hull([(x, max(z, 0.8)) for x, z in swept]), 1.0))

    def contact(self, footprint: list[tuple[float, float]], depth: float = 0.75) -> None:
        """The dark patch where a body stands on the ground, in any weather."""
        self.shadows.append((footprint, -depth))
