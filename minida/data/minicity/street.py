"""What stands still: houses, walls, fences, hedges, trees, lamps, traffic lights and signs."""

from typing import Any

from minida.data.minicity.domains import tables
from minida.data.minicity.sketch import CIRCLE, Paint, Sketch, pick

BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, VEGETATION, TERRAIN = range(2, 10)
PALE, BARK = (226.0, 224.0, 218.0), (96.0, 78.0, 62.0)


def jitter(u: float, k: int) -> float:
    """The k-th of a series of numbers in 0..1 that follow from u."""
    return (u * 97.31 + k * 0.61803 + u * k * 3.7) % 1.0


def _ragged(u: float) -> list[tuple[float, float]]:
    """The outline of a clump of leaves, of radius about 1."""
    return [(a * (0.8 + 0.36 * jitter(u, k)), b * (0.8 + 0.36 * jitter(u, k))) for k, (a, b) in enumerate(CIRCLE)]


RAGGED = tuple(_ragged(0.137 * n) for n in range(8))


class Facade:
    """A face of a house or a wall, along the street (side -1 or 1, at that side of x = 0) or across it (side 0)."""

    def __init__(self, s: Sketch, paint: Paint, side: int, line: float) -> None:
        self.s, self.paint, self.side, self.line, self.far = s, paint, side, line, False
        self.lit = s.lit(-side, 0, 0 if side else -1)

    def at(self, t: float, y: float, inset: float = 0.0) -> tuple[float, float, float]:
        """t along the face, y up, `inset` into the wall -> the world."""
        return (self.side * (self.line + inset), y, t) if self.side else (t, y, self.line + inset)

    def rect(self, ts: tuple, ys: tuple, paint: Paint | None = None, tone: float = 1.0) -> None:
        (a, b), (c, d), at = ts, ys, self.at
        self.s.face([at(a, c), at(b, c), at(b, d), at(a, d)], paint or self.paint, self.lit, tone)

    def opening(self, ts: tuple, ys: tuple, glass: Paint, tone: float, fine: bool) -> None:
        """A window or door: the shaded reveal, the recessed pane, bars and a sill where it is near."""
        (a, b), (c, d) = ts, ys
        if not self.far:
            self.rect(ts, ys, None, 0.6)
        b, d = b - (0.16 * (b - a) if self.side else 0.0), d - 0.14 * (d - c) * (c > self.s.eye)
        self.rect((a, b), (c, d), glass, tone)
        if fine:
            y, t = (c + d) / 2, (a + b) / 2
            self.rect((a, b), (y - 0.04, y + 0.05), None, 0.9)
            self.rect((t - 0.04, t + 0.04), (c, d), None, 0.9)
            self.rect((a - 0.1, ts[1] + 0.1), (c - 0.14, c), None, 1.18)

    def storeys(self, ts: tuple, floors: range, d: Any, u: float, fine: bool) -> None:
        """Rows of windows in a rhythm that follows from u; on the ground floor (0) there is a door."""
        (a, b), bay = ts, 2.4 + 1.3 * jitter(u, 1)
        count = max(1, int((b - a - 0.8) / bay))
        step, width = (b - a) / count, (0.4 + 0.22 * jitter(u, 2)) * bay
        for floor in floors:
            y = 3.1 * floor + 0.4 if floor else 0.0
            for k in range(count):
                t, v = a + (k + 0.5) * step - width / 2, jitter(u, 5 + floor * 7 + k)
                door = not floor and k == int(u * count)
                pane = Paint(pick(d.roof if door else d.glass, v), BUILDING)
                ys = (y + 0.1, y + 2.4) if door else (y + 0.85, y + 2.55)
                self.opening((t, t + width), ys, pane, 0.85 + 0.1 * floor * v, fine and not door)

    def shop(self, ts: tuple, d: Any, u: float, fine: bool) -> None:
        """A shop front: panes, a name board, and for some an awning over the pavement."""
        (a, b), at = ts, self.at
        board = Paint(pick(d.cloth + d.car, jitter(u, 3)), BUILDING)
        count = max(1, int((b - a) / 3.4))
        step = (b - a) / count
        self.rect((a + 0.2, b - 0.2), (2.7, 3.35), board)
        for k in range(count):
            p, q = a + k * step + 0.2, a + (k + 1) * step - 0.2
            self.opening((p, q), (0.45, 2.6), Paint(pick(d.glass, jitter(u, 4)), BUILDING), 1.1, fine)
            if self.side and jitter(u, 6) < 0.5:
                slope = [at(p, 3.0), at(q, 3.0), at(q, 2.45, -1.2), at(p, 2.45, -1.2)]
                self.s.face(slope, board, self.s.sun[1], 1.05 if k % 2 else 0.9)
                self.s.face([at(p, 3.0), at(p, 2.45, -1.2), at(p, 2.45)], board, None, 0.8)


def building(s: Sketch, d: Any, side: int, box: tuple, u: list[float]) -> None:
    """A house of box (front line |x|, z0, z1); with side 0 across the end of the street: (z, x0, x1)."""
    line, a, b = box
    floors = round(d.floors[0] + (d.floors[1] - d.floors[0]) * u[0])
    height, paint = 3.1 * floors + 1.1, Paint(pick(d.facade, u[1]), BUILDING, 0.07)
    front, end, depth = Facade(s, paint, side, line), Facade(s, paint, 0, a), 10.0
    front.far = end.far = max(a, line) > 55
    if side:
        near, far = side * line, side * (line + depth)
        s.shade([(near, a), (near, b), (far, b), (far, a)], 0.0, height)
        s.contact([(near, a), (near, b), (near - 0.5 * side, b), (near - 0.5 * side, a)], 0.4)
        if line > 1.3 * b:  # outside the picture, all but its shadow
            return
        end.rect((near, far), (0, height))
        if not end.far:
            end.storeys((min(near, far) + 1, max(near, far) - 1), range(1, floors), d, u[6], False)
    if u[3] < d.pitched:
        top, at = height + 1.6 + 2.2 * u[4], front.at
        if side:
            s.face([at(a, height), at(a, top, depth / 2), at(a, height, depth)], paint, end.lit, 0.96)
        eaves = [at(a - 0.3, height - 0.2, -0.5), at(b + 0.3, height - 0.2, -0.5)]
        slope = s.lit(-0.5 * side, 0.86, 0 if side else -0.5)
        s.face([*eaves, at(b, top, depth / 2), at(a, top, depth / 2)], Paint(pick(d.roof, u[2]), BUILDING, 0.1), slope)
    front.rect((a, b), (0, height))
    bands = [(0, 0.55, 0.72), (3.35, 3.6, 1.16)] if u[7] < 0.6 else [(0, 0.55, 0.72)]
    if u[3] >= d.pitched:
        bands += [(height - 0.5, height, 1.12), (height - 0.62, height - 0.5, 0.6)]
    for low, high, tone in bands:
        front.rect((a, b), (low, high), None, tone)
    shop, fine = u[9] < d.shops, line < 40 and a < 34
    front.storeys((a, b), range(int(shop), floors), d, u[8], fine)
    if shop:
        front.shop((a, b), d, u[10], fine)


def barrier(s: Sketch, side: int, box: tuple, height: float, paint: Paint) -> Facade:
    """A long body beside the street, `thick` deep: box (front line |x|, z0, z1, thick)."""
    line, z0, z1, thick = box
    face, end, (near, far) = Facade(s, paint, side, line), Facade(s, paint, 0, z0), (side * line, side * (line + thick))
    if s.eye > height:
        s.face([(near, height, z0), (far, height, z0), (far, height, z1), (near, height, z1)], paint, s.sun[1])
    end.rect((near, far), (0, height))
    face.rect((z0, z1), (0, height))
    s.shade([(near, z0), (near, z1)], 0.0, height)
    s.contact([(near, z0), (near, z1), (near - 0.35 * side, z1), (near - 0.35 * side, z0)], 0.5)
    return face


def wall(s: Sketch, d: Any, side: int, box: tuple, u: list[float]) -> None:
    """A masonry wall along the street, with joints, piers and a coping."""
    (_, z0, z1), height = box, 2.0 + 1.6 * u[0]
    face = barrier(s, side, (*box, 0.4), height, Paint(pick(d.wall, u[1]), WALL, 0.16))
    for k in range(1, int(height / 0.45)):
        face.rect((z0, z1), (k * 0.45 - 0.05, k * 0.45), None, 0.82)
    for k in range(int((z1 - z0) / 3)):
        face.rect((z0 + 3 * k, z0 + 3 * k + 0.5), (0, height), None, 0.9)
    face.rect((z0, z1), (height - 0.12, height + 0.06), None, 1.2)


def fence(s: Sketch, d: Any, side: int, box: tuple, u: list[float]) -> None:
    """A fence along the street. Its gaps are painted and labelled as fence, as annotators do."""
    (_, z0, z1), height, colour = box, 1.2 + 0.9 * u[0], pick(d.fence, u[1])
    gaps = Paint(tuple(0.45 * c + 0.2 * g for c, g in zip(colour, d.leaf[0], strict=True)), FENCE, 0.2)
    face, pale = barrier(s, side, (*box, 0.05), height - 0.1, gaps), Paint(colour, FENCE, 0.03)
    step = 0.34 + 0.5 * u[2]
    for k in range(int((z1 - z0) / step)):
        face.rect((z0 + k * step, z0 + (k + 0.42) * step), (0, height), pale, 1.05 if k % 2 else 0.95)
    for y, tone in ((height - 0.3, 1.1), (0.15, 0.9)):
        face.rect((z0, z1), (y, y + 0.15), pale, tone)


def hedge(s: Sketch, d: Any, side: int, box: tuple, u: list[float]) -> None:
    barrier(s, side, (*box, 1.0), 0.9 + 0.9 * u[0], Paint(pick(d.leaf, u[1]), VEGETATION, 0.25))


def tree(s: Sketch, d: Any, spot: tuple[float, float], u: list[float]) -> None:
    """A trunk and a crown of ragged clumps, lighter towards the sun."""
    (x, z), height = spot, d.tree[0] + (d.tree[1] - d.tree[0]) * u[0]
    ry, w = height * (0.3 + 0.08 * u[1]), 0.16 + 0.03 * height
    rx, y = ry * d.slim * (0.75 + 0.5 * u[2]), height - ry
    leaf, bark = Paint(pick(d.leaf, u[3]), VEGETATION, 0.3), Paint(BARK, VEGETATION, 0.2)
    s.limb((x, 0, z), (x + (u[4] - 0.5) * 0.6, y, z), (w * 1.4, w * 0.8), bark, 0.9)
    s.limb((x, y * 0.6, z), (x + rx * 0.5, y, z), (w * 0.5, w * 0.3), bark, 0.8)
    clumps = [(0.0, 0.0, 0.9, 0.62)]
    for k in range(0 if abs(x) > 1.3 * z + rx else 9 if z < 40 else 4):  # none outside the picture
        (a, b), r = CIRCLE[(k * 7 + int(u[6] * 16)) % 16], 0.75 - 0.06 * k + 0.1 * jitter(u[7], k)
        tone = 0.9 + 0.3 * (0.7 * s.sun[0] * a + s.sun[1] * b) * r + 0.12 * (jitter(u[8], k) - 0.5)
        clumps.append((a * r, b * r, 0.4, tone))
    for k, (a, b, r, tone) in enumerate(clumps):
        cx, cy, rx_, ry_ = x + a * rx, y + b * ry, r * rx, r * ry
        s.face([(cx + rx_ * p, cy + ry_ * q, z) for p, q in RAGGED[(k + int(u[5] * 8)) % 8]], leaf, 0.35, tone)
    dx, dz = s.drift
    s.shadows.append(([(x + dx * y + rx * a, max(z + dz * y + rx * b, 1.0)) for a, b in CIRCLE[::2]], 0.9))
    s.shade([(x - w / 2, z), (x + w / 2, z)], 0.0, y)
    s.contact([(x + 0.6 * a, z + 0.6 * b) for a, b in CIRCLE[::2]], 0.5)


def lamp(s: Sketch, d: Any, side: int, spot: tuple[float, float], u: list[float]) -> None:
    (x, z), metal, height = spot, Paint(pick(d.metal, u[0]), POLE), 6.0 + 2.5 * u[1]
    tip = x - side * 1.6
    s.limb((x, 0, z), (x, height, z), (0.36, 0.24), metal)
    s.limb((x, height, z), (tip, height + 0.3, z), (0.14, 0.12), metal)
    s.upright((tip - 0.35, tip + 0.35, height + 0.16, height + 0.36), z, metal, 1.2)
    s.shade([(x - 0.08, z), (x + 0.08, z)], 0.0, height)


def traffic_light(s: Sketch, d: Any, side: int, spot: tuple[float, float], u: list[float]) -> None:
    """A light on a kerb post or, as chance has it, hung over the road from a mast."""
    (x, z), metal, box = spot, Paint(pick(d.metal, u[0]), POLE), Paint(pick(d.housing, u[1]), LIGHT)
    heads, mast, reach = [(x, 2.6)], u[2] < d.mast, x - side * (3.2 + 2.0 * u[3])
    s.limb((x, 0, z), (x, 5.9 if mast else 3.4, z), (0.36, 0.28), metal)
    if mast:
        s.limb((x, 5.7, z), (reach, 5.9, z), (0.2, 0.14), metal)
        heads += [(reach, 4.9), ((reach + x) / 2, 4.85)]
    for cx, cy in heads:
        s.upright((cx - 0.28, cx + 0.28, cy - 0.1, cy + 1.34), z, box)
        s.upright((cx - 0.21, cx + 0.21, cy - 0.04, cy + 1.28), z, box, 0.55)
        for k, colour in enumerate(((60.0, 250.0, 150.0), (255.0, 196.0, 50.0), (255.0, 60.0, 50.0))):
            disc = [(cx + 0.17 * a, cy + 0.22 + 0.4 * k + 0.17 * b, z) for a, b in CIRCLE[::2]]
            s.face(disc, Paint(colour, LIGHT, 0.0), None, 1.5 if k == int(u[4] * 3) else 0.25)
    s.shade([(x - 0.12, z), (x + 0.12, z)], 0.0, 3.5)


def sign(s: Sketch, d: Any, spot: tuple[float, float], u: list[float]) -> None:
    """A traffic sign (disc, triangle, square or panel) on its pole."""
    (x, z), kind, y, r = spot, int(u[1] * 4), 2.35 + 0.5 * u[2], 0.44 + 0.12 * u[3]
    s.limb((x, 0, z), (x, y + r, z), (0.2, 0.2), Paint(pick(d.metal, u[0]), POLE))
    for name, colour, disc in (("plates", d.sign[kind], r), ("faces", PALE, 0.68 * r)):
        outline, scale = (tables()["signs"][name][kind - 1], r) if kind else (CIRCLE, disc)
        s.face([(x + scale * a, y + scale * b, z) for a, b in outline], Paint(colour, SIGN))
    s.shade([(x - 0.06, z), (x + 0.06, z)], 0.0, y)
