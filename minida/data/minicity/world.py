"""The scene: what stands where, drawn from a fixed table of random numbers.

Every place where a thing could stand owns its row of the table, whether or not a thing stands there. So the same
table at two values of the gap gives two versions of one scene.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from minida.data.minicity import actors, street
from minida.data.minicity.domains import Range
from minida.data.minicity.sketch import Paint, Sketch, pick

ROAD, SIDEWALK = 0, 1
ROWS = {"lot": 24, "kerb": 28, "parked": 26, "traffic": 9, "people": 18, "rare": 12}  # rows of 16 numbers each
NOWHERE = 1e9


class Scene(NamedTuple):
    """A sketch with its camera; `mood` holds the numbers that the style still draws from."""

    sketch: Sketch
    domain: Any
    focal: float
    horizon: float
    mood: list[float]


def within(bounds: Range, u: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * u


class Street:
    """One street while it is being filled: `things` are (depth, number, builder, arguments)."""

    def __init__(self, rng: np.random.Generator, d: Any) -> None:
        self.d, self.u = d, rng.random(32).tolist()
        self.table = {name: rng.random((rows, 16)).tolist() for name, rows in ROWS.items()}
        u = self.u
        azimuth, height = math.pi * within(d.sun_side, u[0]), within(d.sun_height, u[2])
        sun = (math.sin(azimuth) * (1.0 if u[1] < 0.5 else -1.0), height, -math.cos(azimuth))
        norm = math.sqrt(1 + height * height)
        self.s = Sketch(within(d.eye, u[3]), d.bend * (2 * u[4] - 1), tuple(c / norm for c in sun))
        self.kerb = {-1: within(d.left, u[5]), 1: within(d.right, u[6])}
        self.pavement = {-1: within(d.pavement, u[7]), 1: within(d.pavement, u[8])}
        self.verge = {-1: max(0.0, within(d.verge, u[9])), 1: max(0.0, within(d.verge, u[10]))}
        self.cross = within((16.0, 46.0), u[12]) if u[11] < d.crossing else NOWHERE
        self.things: list[tuple] = []
        self.taken: list[tuple[float, float, float]] = []  # large things: x, z0, z1

    def add(self, z: float, builder, *args) -> None:
        self.things.append((-z, len(self.things), builder, args))

    def free(self, x: float, z: float, reach: float) -> bool:
        """Is there room at (x, z), and no large thing between it and the camera's axis?"""
        return not any(
            z0 - reach < z < z1 + reach and (abs(x - tx) < 2.4 or (x * tx > 0 and abs(x) > abs(tx)))
            for tx, z0, z1 in self.taken
        )

    def at_crossing(self, z: float, margin: float = 0.0) -> bool:
        return abs(z - self.cross) < 6 + margin

    def ribbon(self, x0: float, x1: float, paint: Paint, tone: float = 1.0) -> None:
        """A strip of ground along the street; many short pieces, so that it can bend."""
        zs = (0.9, 4, 8, 12, 17, 23, 30, 40, 55, 80, 120, 200)
        self.s.ground([(x0, z) for z in zs] + [(x1, z) for z in zs[::-1]], paint, tone)

    def lay_ground(self) -> None:
        d, s, u, k, cross, ends = self.d, self.s, self.u, self.kerb, self.cross, (-300, 300)
        road, pavement = Paint(pick(d.road, u[13]), ROAD, 0.1), Paint(pick(d.paving, u[14]), SIDEWALK, 0.1)
        s.mat(ends, (0.9, 400), Paint(pick(d.terrain, u[15]), street.TERRAIN, 0.25))
        if cross < NOWHERE:
            s.mat(ends, (cross - 9, cross + 9), pavement)
            s.mat(ends, (cross - 6, cross + 6), road)
        for side in (-1, 1):
            x0, x1 = side * k[side], side * (k[side] + self.pavement[side])
            self.ribbon(x0, x1, pavement)
            self.ribbon(x0, x0 + side * 0.16, Paint(tuple(0.5 * c + 90 for c in pavement.colour), SIDEWALK))
            for n in range(14):
                s.mat((x0, x1), (5.0 + 1.8 * n, 5.07 + 1.8 * n), pavement, 0.86)
        self.ribbon(-k[-1], k[1], road, 0.8)  # the gutters show beside the next one
        self.ribbon(-k[-1] + 0.14, k[1] - 0.14, road)
        if cross < NOWHERE:
            s.mat((-k[-1] - 4, k[1] + 4), (cross - 6, cross + 6), road)
        for n in range(10):  # patches and manholes
            a, b = street.jitter(u[18], n), street.jitter(u[19], n)
            x, z, tone = -k[-1] + 0.5 + (k[-1] + k[1] - 2.5) * a, 4 + 30 * b * b, 1 + d.stains * 0.5 * (u[20 + n] - 0.6)
            s.mat((x, x + 0.5 + 1.6 * street.jitter(a, 3)), (z, z + 0.6 + 3 * street.jitter(b, 4)), road, tone)
        self.paint_marks()

    def paint_marks(self) -> None:
        """Lane marks, and before a crossroads the stop line and the zebra crossing."""
        s, u, left, right = self.s, self.u, self.kerb[-1], self.kerb[1]
        white, middle = Paint((216.0, 216.0, 210.0), ROAD, 0.12), -1.75
        lines = [x for x in (middle, middle - 3.3, 1.9) if 2.4 - left < x < right - 1.8 or x == middle]
        for x in lines if u[16] < self.d.marks else ():
            for n in range(12):
                z = 3.0 + 6 * n + 3 * u[17]
                if not self.at_crossing(z + 1.5, 4):
                    s.mat((x - 0.08, x + 0.08), (z, z + 3), white)
        if self.cross < NOWHERE:
            z = self.cross - 10.5
            s.mat((middle, right), (z - 1.4, z - 1.0), white)
            for n in range(int((left + right) / 1.1)):
                s.mat((0.5 - left + 1.1 * n, 1.05 - left + 1.1 * n), (z, z + 3), white)

    def build_lots(self) -> None:
        """Both sides of the street, lot by lot, up to the crossroads and beyond it."""
        for side in (-1, 1):
            line, z = self.kerb[side] + self.pavement[side] + self.verge[side], 2.0 + 4 * self.u[21]
            for row in self.table["lot"][side < 0 :: 2]:
                z0, z = z, z + within(self.d.lot, row[0])
                z1 = z
                if z0 < self.cross + 7 and z > self.cross - 7:
                    z, z1 = max(z, self.cross + 7), self.cross - 7
                if z0 < 125 and z1 - z0 > 5:
                    self.fill(side, (line, z0, z1), row[2:] + row[:2])

    def fill(self, side: int, box: tuple, u: list[float]) -> None:
        """Build on one lot: a house, a house behind a garden, a park, or a yard behind a wall or a fence."""
        d, (x, z0, z1) = self.d, box
        kind = sum(u[15] * sum(d.lots) >= sum(d.lots[: k + 1]) for k in range(4))
        if kind != 2:
            self.add(z1, street.building, side, (x + (0.0, 4.5, 0.0, 9.0, 9.0)[kind], z0, z1), u)
        if kind == 0:
            return
        if kind != 2 or u[11] < 0.4:
            front = pick((street.hedge, street.fence), u[12]) if kind < 3 else (street.wall, street.fence)[kind - 3]
            self.add(z1 - 0.1, front, side, (x + 0.2, z0, z1), u)
        for n in range(2 if kind < 3 else 1):
            spot = (side * (x + 2.2 + 2 * u[13] + n), z0 + (z1 - z0) * (0.3 + 0.45 * n))
            self.add(z1 - 0.05 * n, street.tree, spot, u[n:] + u[:n])

    def furnish(self) -> None:
        """Street trees, lamps, lights and signs along the kerbs."""
        d, u = self.d, self.u
        for n, row in enumerate(self.table["kerb"]):
            side, z = (1 if n % 2 else -1), 7.0 + 6.5 * (n // 2) + 3 * row[0]
            x, inner = side * (self.kerb[side] + 0.6), 0.3 if self.verge[side] < 1.5 else self.pavement[side] + 0.2
            if self.at_crossing(z, 1) or not self.free(x, z, 1):
                continue
            if row[1] < d.trees:
                self.add(z, street.tree, (x + side * inner, z), row[3:])
            elif row[1] < d.trees + 0.35 * d.lamps:
                self.add(z, street.lamp, side, (x, z), row[3:])
            if row[2] < d.signs and z < 45:
                self.add(z - 1.5, street.sign, (x + side * 0.3, z - 1.5), row[3:])
        z = self.cross - 8 if self.cross < NOWHERE else within((11.0, 26.0), u[22])
        for side, v in ((1, 24), (-1, 25)) if u[23] < d.lights else ():
            self.add(z, street.traffic_light, side, (side * (self.kerb[side] + 0.5), z), u[v:] + u[:v])

    def place_large(self) -> None:
        """Trams, buses and trucks, on this side of the road or the other."""
        d, k = self.d, self.kerb
        kinds = ((d.train, actors.train, 24.0, 0.2), (d.bus, actors.bus, 12.0, 0.5), (d.truck, actors.truck, 8.5, 0.6))
        for row, (chance, builder, length, own) in zip(self.table["rare"], kinds, strict=False):
            ahead, tram = row[1] < own and k[1] > 3.4, builder is actors.train
            z = within((13.0, 24.0), row[2]) + (4 if ahead else 0)
            x = (0.2 if tram else k[1] - 1.7) if ahead else 2.0 - k[-1]
            start = z - (4.7 if tram else length / 2)
            if row[0] < chance and self.free(x, z, length / 2):
                self.taken.append((x, start - 1, start + length + 1))
                self.add(z, builder, (x, z, 0.0 if ahead else math.pi), row[3:])

    def place_mounts(self) -> None:
        """Bicycles and motorcycles: ridden on the road, or standing on the pavement; near enough to be seen."""
        d, k, cycle, motor = self.d, self.kerb, "bicycle", "motorcycle"
        kinds = [(d.cyclist, cycle, True)] * 2 + [(d.motorcyclist, motor, True)]
        kinds += [(d.cycle_stand, cycle, False)] * 2 + [(d.motor_stand, motor, False)]
        for row, (chance, name, ridden) in zip(self.table["rare"][3:], kinds, strict=False):
            side, z = (1 if row[1] < 0.6 else -1), within((5.5, 17.0), row[2])
            x = side * (k[side] + (-within((0.8, 2.2), row[3]) if ridden else 0.7 + 0.5 * row[3]))
            turn = -within((0.2, 0.9), row[4]) if ridden else within((0.5, 1.4), row[4])
            if row[0] < chance and self.free(x, z, 1):
                self.taken += [(x, z - 0.6, z + 0.6)] * ridden
                heading = side * turn + (0.0 if side > 0 else math.pi)
                self.add(z, actors.mount, (x, z, heading), row[5:], (name, ridden))

    def place_cars(self) -> None:
        """Moving cars in both lanes, one across the crossroads, and parked ones along the kerbs."""
        d, k = self.d, self.kerb
        for n, row in enumerate(self.table["traffic"]):
            z, turning = 10.0 + 12 * (n // 2) + 8 * row[0], n == 8 and self.cross < NOWHERE
            x, heading = (0.15 + 0.3 * row[1], 0.0) if n % 2 else (-min(k[-1] - 2.2, 3.4), math.pi)
            if turning:
                x, z, heading = within((-9.0, 9.0), row[1]), self.cross - 2, math.pi / 2
            if row[2] < d.traffic and self.free(x, z, 3) and (turning or not self.at_crossing(z)):
                self.taken.append((x, z - 2.5, z + 2.5))
                self.add(z, actors.car, (x, z, heading), row[3:])
        for n, row in enumerate(self.table["parked"]):
            side, z = (1 if n % 2 else -1), 7.0 + 6.2 * (n // 2) + 0.8 * row[0]
            x, heading = side * max(2.5, k[side] - 1.15), 0.06 * (row[2] - 0.5) + (0.0 if side > 0 else math.pi)
            if row[1] < d.parked and self.free(x, z, 2.5) and not self.at_crossing(z, 5):
                self.add(z, actors.car, (x, z, heading), row[3:])

    def place_people(self) -> None:
        """On the pavements, and at a crossroads on the zebra crossing."""
        for n, row in enumerate(self.table["people"]):
            side, z, v = (1 if row[0] < 0.5 else -1), within((5.0, 27.0), row[1]), row[2]
            x = side * (self.kerb[side] + 0.5 + (self.pavement[side] - 0.8) * v)
            if n > 14 and self.cross < NOWHERE:
                x, z = within((-5.0, 4.0), v), self.cross - 9.3
            if row[3] < self.d.people and self.free(x, z, 0.5):
                self.add(z, actors.person, (x, z, 2 * math.pi * row[4]), row[5:] + row[:5])

    def close(self) -> None:
        """The horizon: hills and roofs, and for some streets houses across the end."""
        d, u, s = self.d, self.u, self.s
        leaf, stone = Paint(pick(d.leaf, u[26]), street.VEGETATION, 0.2), Paint(pick(d.facade, u[27]), street.BUILDING)
        for n in range(14):
            v = street.jitter(u[28], n)
            x = -190 + 27 * n + 10 * v - s.bend * 250**2
            s.upright((x, x + 30, -3, 6 + 9 * v), 250, leaf if v < 0.55 else stone, 0.9)
        for n in range(-2, 3) if u[29] < d.closed else ():
            x = 18 * n - s.bend * 130**2
            self.add(131.0, street.building, 0, (130.0, x - 9, x + 9), self.table["lot"][n + 5])


def compose(rng: np.random.Generator, d: Any) -> Scene:
    """Draw one scene of a domain, every thing from far to near."""
    plan = Street(rng, d)
    plan.lay_ground()
    plan.close()
    plan.build_lots()
    plan.place_large()
    plan.place_mounts()
    plan.place_cars()
    plan.furnish()
    plan.place_people()
    for _, _, builder, args in sorted(plan.things, key=lambda thing: thing[:2]):
        builder(plan.s, d, *args)
    return Scene(plan.s, d, within(d.focal, plan.u[30]), within(d.horizon, plan.u[31]), rng.random(16).tolist())
