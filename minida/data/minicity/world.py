"""The scene: what stands where, drawn from a fixed table of random numbers.

Every place where a thing could stand owns its row of the table, whether or not a thing stands there. So the same
table at two values of the gap gives two versions of one scene.
"""

import math
from dataclasses import dataclass

import numpy as np

from minida.data.minicity import actors, street
from minida.data.minicity.domains import Domain
from minida.data.minicity.sketch import Paint, Sketch, pick

ROAD, SIDEWALK = 0, 1
ROWS = {"lot": 24, "kerb": 28, "parked": 26, "traffic": 9, "people": 18, "rare": 12}  # rows of 16 numbers each


@dataclass(frozen=True)
class Scene:
    """A sketch with its camera and its weather; `mood` holds the numbers that the style still draws from."""

    sketch: Sketch
    domain: Domain
    focal: float
    horizon: float
    road: tuple[float, float, float]
    mood: list[float]


def within(bounds: tuple[float, float], u: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * u


class Street:
    """One street while it is being filled: `things` are (depth, builder, arguments), painted from far to near."""

    def __init__(self, rng: np.random.Generator, d: Domain) -> None:
        self.d, self.main = d, rng.random(32).tolist()
        self.table = {name: rng.random((rows, 16)).tolist() for name, rows in ROWS.items()}
        u = self.main
        azimuth = math.pi * within(d.sun_side, u[0])  # from behind the camera round to ahead of it
        side, height = (1.0 if u[1] < 0.5 else -1.0), within(d.sun_height, u[2])
        sun = (side * math.sin(azimuth), height, -math.cos(azimuth))
        norm = math.sqrt(1 + height * height)
        self.s = Sketch(within(d.eye, u[3]), d.bend * (2 * u[4] - 1), tuple(c / norm for c in sun))
        self.kerb = {-1: within(d.left, u[5]), 1: within(d.right, u[6])}
        self.pavement = {-1: within(d.pavement, u[7]), 1: within(d.pavement, u[8])}
        self.verge = {-1: max(0.0, within(d.verge, u[9])), 1: max(0.0, within(d.verge, u[10]))}
        self.cross = within((16.0, 46.0), u[12]) if u[11] < d.crossing else 1e9
        self.things: list[tuple] = []
        self.taken: list[tuple[float, float, float]] = []  # large things: x, z0, z1

    def add(self, z: float, builder, *args) -> None:
        self.things.append((z, len(self.things), builder, args))

    def free(self, x: float, z: float, reach: float) -> bool:
        """Is there room at (x, z), and no large thing between it and the camera's axis?"""
        for tx, z0, z1 in self.taken:
            if z0 - reach < z < z1 + reach and (abs(x - tx) < 2.4 or x * tx > 0 and abs(x) > abs(tx)):
                return False
        return True

    def crossing(self, z: float, margin: float = 0.0) -> bool:
        return self.cross - 6 - margin < z < self.cross + 6 + margin

    def ribbon(self, x0: float, x1: float, paint: Paint, y: float = 0.0) -> None:
        """A strip of ground along the street; many short pieces, so that it can bend."""
        zs = (0.9, 4, 8, 12, 17, 23, 30, 40, 55, 80, 120, 200)
        self.s.ground([(x0, z) for z in zs] + [(x1, z) for z in zs[::-1]], paint, y)

    def lay_ground(self) -> tuple:
        d, s, u, k = self.d, self.s, self.main, self.kerb
        road = Paint(pick(d.road, u[13]), ROAD, 0.1)
        pavement, grass = Paint(pick(d.pavements, u[14]), SIDEWALK, 0.1), Paint(pick(d.terrain, u[15]), 9, 0.25)
        s.ground([(-300, 0.9), (300, 0.9), (300, 400), (-300, 400)], grass)
        if self.cross < 1e9:
            a, b = self.cross - 6, self.cross + 6
            s.ground([(-300, a - 3), (300, a - 3), (300, b + 3), (-300, b + 3)], pavement)
            s.ground([(-300, a), (300, a), (300, b), (-300, b)], road)
        for side in (-1, 1):
            x0, x1 = side * k[side], side * (k[side] + self.pavement[side])
            self.ribbon(x0, x1, pavement)
            edge = Paint(tuple(0.5 * c + 90 for c in pavement.colour), SIDEWALK, 0.1)
            self.ribbon(x0, x0 + side * 0.16, edge)
            self.ribbon(x0 - side * 0.12, x0, Paint(tuple(0.8 * c for c in road.colour), ROAD, 0.2))
            for n in range(14):
                z = 5.0 + 1.8 * n
                s.ground([(x0, z), (x1, z), (x1, z + 0.07), (x0, z + 0.07)], pavement, 0.0, 0.86)
        self.ribbon(-k[-1] + 0.12, k[1] - 0.12, road)
        if self.cross < 1e9:
            s.ground([(-k[-1] - 4, a), (k[1] + 4, a), (k[1] + 4, b), (-k[-1] - 4, b)], road)
        self.paint_marks(road)
        return road.colour

    def paint_marks(self, road: Paint) -> None:
        d, s, u, k = self.d, self.s, self.main, self.kerb
        white = Paint((216.0, 216.0, 210.0), ROAD, 0.12)
        middle = (1.75 - k[-1] * 0.12) * -1.0 if k[-1] < 8 else -1.9
        if u[16] < d.marks:
            lines = [middle] + [x for x in (middle - 3.3, 1.9) if -k[-1] + 2.4 < x < k[1] - 1.8]
            for x in lines:
                for n in range(12):
                    z = 3.0 + 6 * n + 3 * u[17]
                    if not self.crossing(z + 1.5, 4):
                        s.ground([(x - 0.08, z), (x + 0.08, z), (x + 0.08, z + 3), (x - 0.08, z + 3)], white)
        if self.cross < 1e9:
            z, width = self.cross - 10.5, k[-1] + k[1]
            for n in range(int(width / 1.1)):
                x = -k[-1] + 0.5 + 1.1 * n
                s.ground([(x, z), (x + 0.55, z), (x + 0.55, z + 3), (x, z + 3)], white)
            s.ground([(-0.0 + middle, z - 1.4), (k[1], z - 1.4), (k[1], z - 1.0), (middle, z - 1.0)], white)
        for n in range(10):  # patches and manholes
            a, b = street.jitter(u[18], n), street.jitter(u[19], n)
            x, z, tone = -k[-1] + 0.5 + (k[-1] + k[1] - 2.5) * a, 4 + 30 * b * b, 1 + d.stains * 0.5 * (u[20 + n] - 0.6)
            w, h = 0.5 + 1.6 * street.jitter(a, 3), 0.6 + 3 * street.jitter(b, 4)
            s.ground([(x, z), (x + w, z), (x + w, z + h), (x, z + h)], road, 0.0, tone)

    def build_lots(self) -> None:
        d, total = self.d, sum(self.d.lots)
        for side in (-1, 1):
            line = self.kerb[side] + self.pavement[side] + self.verge[side]
            z = 2.0 + 4 * self.main[21]
            for row in self.table["lot"][side < 0 :: 2]:
                z0, z = z, z + within(d.lot, row[0])
                if z0 < self.cross + 7 and z > self.cross - 7:
                    if self.cross - 7 - z0 > 5:
                        self.fill(side, (line, z0, self.cross - 7), row, row[1] * total)
                    z = max(z, self.cross + 7)
                    continue
                if z0 < 125:
                    self.fill(side, (line, z0, z), row, row[1] * total)

    def fill(self, side: int, box: tuple, row: list[float], kind: float) -> None:
        """Build on one lot; `kind` runs over the summed weights of the five kinds of lot."""
        d, (x, z0, z1), u = self.d, box, row[2:] + row[:2]
        edges, total = [], 0.0
        for weight in d.lots:
            total += weight
            edges.append(total)
        if kind < edges[0]:
            self.add(z1, street.building, side, box, u)
            return
        trees = 2 if kind < edges[2] else 1
        if kind < edges[1]:
            self.add(z1, street.building, side, (x + 4.5, z0 + 1, z1 - 1), u)
        elif kind >= edges[2]:
            self.add(z1 + 0.1, street.building, side, (x + 9, z0, z1), u)
        front = (street.hedge, street.fence) if kind < edges[2] else (street.wall,) if kind < edges[3] else (street.fence,)
        if kind < edges[1] or kind >= edges[2] or u[11] < 0.4:
            self.add(z1 - 0.1, pick(front, u[12]), side, (x + 0.2, z0, z1), u)
        for n in range(trees):
            z = z0 + (z1 - z0) * (0.3 + 0.45 * n)
            self.add(z1 - 0.05 * n, street.tree, side * (x + 2.2 + 2 * u[13] + n), z, u[n:] + u[:n])

    def furnish(self) -> None:
        """Street trees, lamps, lights and signs along the kerbs."""
        d = self.d
        for n, row in enumerate(self.table["kerb"]):
            side = 1 if n % 2 else -1
            z = 7.0 + 6.5 * (n // 2) + 3 * row[0]
            x = side * (self.kerb[side] + 0.6)
            if self.crossing(z, 1) or not self.free(x, z, 1):
                continue
            kind = row[1]
            if kind < d.street_trees:
                out = side * (self.kerb[side] + (0.9 if self.verge[side] < 1.5 else self.pavement[side] + 0.8))
                self.add(z, street.tree, out, z, row[3:])
            elif kind < d.street_trees + 0.35 * d.lamps:
                self.add(z, street.lamp, side, (x, z), row[3:])
            if row[2] < d.signs and z < 45:
                self.add(z - 1.5, street.sign, (x + side * 0.3, z - 1.5), row[3:])
        spot = self.cross - 8 if self.cross < 1e9 else within((11.0, 26.0), self.main[22])
        if self.main[23] < d.lights:
            for side, v in ((1, 24), (-1, 25)):
                row = self.main[v:] + self.main[:v]
                self.add(spot, street.traffic_light, side, (side * (self.kerb[side] + 0.5), spot), row)

    def place_rare(self) -> None:
        """The long tail: at most a few of each, near enough to be seen."""
        d, rare, k = self.d, self.table["rare"], self.kerb
        oncoming, far = -k[-1] + 2.0, math.pi
        for n, (chance, builder, length) in enumerate(((d.train, actors.train, 24.0), (d.bus, actors.bus, 12.0),
                                                       (d.truck, actors.truck, 8.5))):  # fmt: skip
            row = rare[n]
            ahead = row[1] < (0.2, 0.5, 0.6)[n] and k[1] > 3.4
            z = within((13.0, 24.0), row[2]) + (4 if ahead else 0)
            x = (k[1] - 1.7 if n else 0.2) if ahead else oncoming
            start = z - length / 2 if n else z - 4.7
            if row[0] < chance and self.free(x, z, length / 2):
                self.taken.append((x, start - 1, start + length + 1))
                self.add(z, builder, (x, z, 0.0 if ahead else far), row[3:])
        for n, (chance, motor, ridden) in enumerate(
            ((d.cyclist, False, True), (d.cyclist, False, True), (d.motorcyclist, True, True),
             (d.cycle_stand, False, False), (d.cycle_stand, False, False), (d.motor_stand, True, False))
        ):  # fmt: skip
            row = rare[3 + n]
            side, z = (1 if row[1] < 0.6 else -1), within((5.5, 17.0), row[2])
            x = side * (k[side] - within((0.8, 2.2), row[3])) if ridden else side * (k[side] + 0.7 + 0.5 * row[3])
            turn = within((0.2, 0.9), row[4]) * side * -1.0 if ridden else within((0.5, 1.4), row[4]) * side
            if row[0] < chance and self.free(x, z, 1):
                self.taken.append((x, z - 0.6, z + 0.6)) if ridden else None
                heading = turn + (0.0 if side > 0 else math.pi)
                self.add(z, actors.mount, (x, z, heading), row[5:], (motor, ridden))

    def place_cars(self) -> None:
        d, k = self.d, self.kerb
        for n, row in enumerate(self.table["traffic"]):
            z = 10.0 + 12 * (n // 2) + 8 * row[0]
            x, heading = (0.15 + 0.3 * row[1], 0.0) if n % 2 else (-min(k[-1] - 2.2, 3.4), math.pi)
            if n == 8 and self.cross < 1e9:
                x, z, heading = within((-9.0, 9.0), row[1]), self.cross - 2, math.pi / 2
            if row[2] < d.traffic and self.free(x, z, 3) and (n == 8 or not self.crossing(z)):
                self.taken.append((x, z - 2.5, z + 2.5))
                self.add(z, actors.car, (x, z, heading), row[3:])
        for n, row in enumerate(self.table["parked"]):
            side = 1 if n % 2 else -1
            z, x = 7.0 + 6.2 * (n // 2) + 0.8 * row[0], side * (k[side] - 1.15)
            if row[1] < d.parked and self.free(x, z, 2.5) and not self.crossing(z, 5):
                self.add(z, actors.car, (x, z, (0.0 if side > 0 else math.pi) + 0.06 * (row[2] - 0.5)), row[3:])

    def place_people(self) -> None:
        d, k = self.d, self.kerb
        for n, row in enumerate(self.table["people"]):
            side = 1 if row[0] < 0.5 else -1
            z = within((5.5, 34.0), row[1])
            x = side * (k[side] + 0.5 + (self.pavement[side] - 0.8) * row[2])
            if n > 14:
                z, x = (self.cross - 9.3, within((-5.0, 4.0), row[2])) if self.cross < 1e9 else (z, x)
            if row[3] < d.people and self.free(x, z, 0.5):
                self.add(z, actors.person, (x, z), row[4:])

    def close(self) -> None:
        """The horizon: hills and roofs, and for some streets a house across the end."""
        d, u, s = self.d, self.main, self.s
        leaf, stone = Paint(pick(d.leaf, u[26]), 8, 0.2), Paint(pick(d.facade, u[27]), 2, 0.05)
        for n in range(14):
            v = street.jitter(u[28], n)
            x = -190 + 27 * n + 10 * v - s.bend * 250**2
            s.upright((x, x + 30, -3, 6 + 9 * v), 250, leaf if v < 0.55 else stone, 0.9)
        if u[29] < d.closed:
            x = -s.bend * 130**2
            for n in range(-2, 3):
                row = self.table["lot"][n + 5]
                self.add(131.0, street.building, 0, (130.0, x + 18 * n - 9, x + 18 * n + 9), row)


def compose(rng: np.random.Generator, d: Domain) -> Scene:
    """Draw one scene of a domain."""
    street_ = Street(rng, d)
    road = street_.lay_ground()
    street_.close()
    street_.build_lots()
    street_.place_rare()
    street_.place_cars()
    street_.furnish()
    street_.place_people()
    for _, _, builder, args in sorted(street_.things, key=lambda thing: (-thing[0], thing[1])):
        builder(street_.s, d, *args)
    u = street_.main
    return Scene(street_.s, d, within(d.focal, u[30]), within(d.horizon, u[31]), road, rng.random(16).tolist())
