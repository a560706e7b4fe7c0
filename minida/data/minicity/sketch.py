"""A scene as a list of flat, coloured polygons in metres, in drawing order."""

import math
from typing import NamedTuple

Point = tuple[float, float, float]  # x to the right, y up from the road, z ahead of the camera
CIRCLE = tuple((math.cos(k * math.pi / 8), math.sin(k * math.pi / 8)) for k in range(16))


class Paint(NamedTuple):
    """A material: sRGB colour, class, and how much of the surface texture it shows."""

    colour: tuple[float, float, float]
    label: int
    grain: float = 0.02


def pick(palette: tuple, u: float):
    """The palette's entry for a number u in 0..1."""
    return palette[min(int(u * len(palette)), len(palette) - 1)]


class Sketch:
    """Collects faces; knows where the camera and the sun are, so that builders can leave out what is hidden."""

    def __init__(self, eye: float, bend: float, sun: Point) -> None:
        self.eye, self.bend, self.sun = eye, bend, sun
        self.drift = (-sun[0] / sun[1], -sun[2] / sun[1])  # a shadow's way over the ground, per metre of height
        self.points: list[Point] = []
        self.rows: list[
            tuple
        ] = []  # per face: number of points, r, g, b, label, grain, sunlit, tone, lies on the ground
        self.shadows: list[tuple[list[tuple[float, float]], float]] = []  # (x, z) outline; depth; below 0: any weather

    def across(self, x: float, z: float) -> float:
        """Where the camera sees x at the depth z: the street bends away as a parabola."""
        return x + self.bend * z * z

    def lit(self, nx: float, ny: float, nz: float) -> float:
        """Share of the sunlight on a face with this unit normal."""
        return max(0.0, nx * self.sun[0] + ny * self.sun[1] + nz * self.sun[2])

    def face(self, points: list[Point], paint: Paint, lit: float | None = None, tone: float = 1.0) -> None:
        """Add a polygon; where `lit` is not given, it faces the camera."""
        self.points += points
        lit = max(0.0, -self.sun[2]) if lit is None else lit
        self.rows.append((len(points), *paint.colour, paint.label, paint.grain, lit, tone, 0.0))

    def ground(self, points: list[tuple[float, float]], paint: Paint, tone: float = 1.0) -> None:
        self.points += [(x, 0.0, z) for x, z in points]
        self.rows.append((len(points), *paint.colour, paint.label, paint.grain, self.sun[1], tone, 1.0))

    def mat(self, xs: tuple[float, float], zs: tuple[float, float], paint: Paint, tone: float = 1.0) -> None:
        """A rectangle on the ground."""
        self.ground([(xs[0], zs[0]), (xs[1], zs[0]), (xs[1], zs[1]), (xs[0], zs[1])], paint, tone)

    def upright(self, box: tuple[float, float, float, float], z: float, paint: Paint, tone: float = 1.0) -> None:
        """A rectangle (x0, x1, y0, y1) that faces the camera."""
        x0, x1, y0, y1 = box
        self.face([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], paint, None, tone)

    def limb(self, p: Point, q: Point, widths: tuple[float, float], paint: Paint, tone: float = 1.0) -> None:
        """A straight bar from p to q, of these widths at its ends, seen face on."""
        (px, py, pz), (qx, qy, qz) = p, q
        scale = 0.5 / (math.hypot(qx - px, qy - py) or 1.0)
        nx, ny, (a, b) = (py - qy) * scale, (qx - px) * scale, widths
        corners = [(px + nx * a, py + ny * a, pz), (qx + nx * b, qy + ny * b, qz)]
        self.face(corners + [(qx - nx * b, qy - ny * b, qz), (px - nx * a, py - ny * a, pz)], paint, None, tone)

    def shade(self, footprint: list[tuple[float, float]], low: float, high: float) -> None:
        """The sun's shadow of an upright body over its footprint, from height `low` to `high`."""
        (dx, dz), n = self.drift, len(footprint)
        base, top = ([(x + dx * h, max(z + dz * h, 0.8)) for x, z in footprint] for h in (low, high))
        self.shadows += [([base[k - 1], base[k], top[k], top[k - 1]], 1.0) for k in range(n)] + [(top, 1.0)]

    def contact(self, footprint: list[tuple[float, float]], depth: float = 0.75) -> None:
        """The dark patch where a body stands on the ground, in any weather."""
        self.shadows.append((footprint, -depth))
