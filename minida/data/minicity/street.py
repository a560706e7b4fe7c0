"""What stands still: houses, walls, fences, trees, lamps, lights and signs."""

from minida.data.minicity.domains import Domain
from minida.data.minicity.sketch import CIRCLE, Paint, Sketch, pick

BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, VEGETATION, TERRAIN = 2, 3, 4, 5, 6, 7, 8, 9
DARK, PALE = (34.0, 34.0, 38.0), (226.0, 224.0, 218.0)


def jitter(u: float, k: int) -> float:
    """The k-th of a series of numbers in 0..1 that follow from u."""
    return (u * 97.31 + k * 0.61803 + u * k * 3.7) % 1.0


class Facade:
    """One face of a house; t runs along it, y up, `inset` into the wall."""

    def __init__(self, s: Sketch, paint: Paint, line: tuple[float, float], side: int) -> None:
        """`side` -1 or 1: a face along the street, at x = line[0]; 0: across it, at z = line[1]."""
        self.s, self.paint, self.line, self.side = s, paint, line, side
        self.lit = s.lit(-side, 0, 0) if side else s.lit(0, 0, -1)

    def at(self, t: float, y: float, inset: float = 0.0) -> tuple[float, float, float]:
        x, z = self.line
        return (x + self.side * inset, y, t) if self.side else (t, y, z + inset)

    def rect(self, ts: tuple, ys: tuple, paint: Paint | None = None, tone: float = 1.0, inset: float = 0.0) -> None:
        (a, b), (c, d), at = ts, ys, self.at
        corners = [at(a, c, inset), at(b, c, inset), at(b, d, inset), at(a, d, inset)]
        self.s.face(corners, paint or self.paint, self.lit, tone)

    def opening(self, ts: tuple, ys: tuple, glass: Paint, tone: float, fine: bool) -> None:
        """A window or door: the shaded reveal, the recessed pane, and a sill where it is near."""
        (a, b), (c, d) = ts, ys
        self.rect(ts, ys, None, 0.6)
        jamb, head = (0.16 * (b - a) if self.side else 0.0), 0.14 * (d - c) * (c > self.s.eye)
        self.rect((a, b - jamb), (c, d - head), glass, tone)
        if fine:
            self.rect((a, b - jamb), ((c + d) / 2 - 0.04, (c + d) / 2 + 0.05), None, 0.9)
            middle = (a + b - jamb) / 2
            self.rect((middle - 0.04, middle + 0.04), (c, d - head), None, 0.9)
            self.rect((a - 0.1, b + 0.1), (c - 0.14, c), None, 1.18)

    def storeys(self, ts: tuple, floors: int, d: Domain, u: float, fine: bool) -> None:
        """Rows of windows from the first floor up, in a rhythm that follows from u."""
        a, b = ts
        bay = 2.4 + 1.3 * jitter(u, 1)
        count = max(1, int((b - a - 0.8) / bay))
        step, width = (b - a) / count, (0.4 + 0.22 * jitter(u, 2)) * bay
        panes = [Paint(colour, BUILDING, 0.02) for colour in d.glass]
        for floor in range(1, floors):
            y = 3.5 + 3.1 * (floor - 1)
            for k in range(count):
                t = a + (k + 0.5) * step - width / 2
                v = jitter(u, 5 + floor * 7 + k)
                self.opening((t, t + width), (y + 0.85, y + 2.55), pick(panes, v), 0.85 + 0.1 * floor * v, fine)

    def entrance(self, ts: tuple, d: Domain, u: float, fine: bool) -> None:
        """A ground floor of windows and a door."""
        a, b = ts
        count = max(2, int((b - a) / 2.9))
        step = (b - a) / count
        for k in range(count):
            t, door = a + (k + 0.5) * step, k == int(u * count)
            paint = Paint(pick(d.roof if door else d.glass, jitter(u, k)), BUILDING, 0.02)
            self.opening((t - 0.6, t + 0.6), (0.1, 2.4) if door else (1.0, 2.5), paint, 0.9, fine and not door)

    def shop(self, ts: tuple, d: Domain, u: float, fine: bool) -> None:
        """A shop front: panes, a name board, and for some an awning over the pavement."""
        a, b = ts
        board = Paint(pick(d.cloth + d.car, jitter(u, 3)), BUILDING, 0.02)
        pane = Paint(pick(d.glass, jitter(u, 4)), BUILDING, 0.02)
        count = max(1, int((b - a) / 3.4))
        step = (b - a) / count
        for k in range(count):
            self.opening((a + k * step + 0.25, a + (k + 1) * step - 0.25), (0.45, 2.6), pane, 1.1, fine)
        self.rect((a + 0.2, b - 0.2), (2.7, 3.35), board)
        if self.side and jitter(u, 6) < 0.5:
            at, lit = self.at, self.s.sun[1]
            for k in range(count):
                p, q = a + k * step + 0.15, a + (k + 1) * step - 0.15
                corners = [at(p, 3.0), at(q, 3.0), at(q, 2.45, -1.2), at(p, 2.45, -1.2)]
                self.s.face(corners, board, lit, 1.05 if k % 2 else 0.9)
                self.s.face([at(p, 3.0), at(p, 2.45, -1.2), at(p, 2.45)], board, None, 0.8)


def building(s: Sketch, d: Domain, side: int, box: tuple, u: list[float]) -> None:
    """A house of box (front line |x|, z0, z1); side 0: across the end of the street, x0..z1 then in x."""
    x, z0, z1 = box
    floors = int(d.floors[0] + (d.floors[1] - d.floors[0]) * u[0] + 0.5)
    height, paint = 3.5 + 3.1 * (floors - 1) + 0.7, Paint(pick(d.facade, u[1]), BUILDING, 0.07)
    roof = Paint(pick(d.roof, u[2]), BUILDING, 0.1)
    front = Facade(s, paint, (side * x, x), side)
    fine, spans = x < 40 and z0 < 34, (z0, z1)
    if side:
        end = Facade(s, paint, (0.0, z0), 0)
        xs = tuple(sorted((side * x, side * (x + 10.0))))
        end.rect(xs, (0, height), None, 1.0)
        s.shade([(side * x, z0), (side * x, z1), (side * (x + 10), z1), (side * (x + 10), z0)], 0.0, height)
        s.contact([(side * (x - 0.5), z0), (side * x, z0), (side * x, z1), (side * (x - 0.5), z1)], 0.4)
    if u[3] < d.pitched:
        top, ridge = height + 1.6 + 2.2 * u[4], 4.5
        slope = s.lit(-0.5 * side, 0.86, 0 if side else -0.5)
        at = front.at
        if side:
            s.face([at(z0, height), at(z0, top, ridge), at(z0, height, 2 * ridge)], paint, end.lit, 0.96)
        eaves = [at(z0 - 0.3, height - 0.2, -0.5), at(z1 + 0.3, height - 0.2, -0.5)]
        s.face(eaves + [at(z1, top, ridge), at(z0, top, ridge)], roof, slope)
        spans_dormer = z1 - z0 > 11 and u[5] < 0.5
        if spans_dormer:
            m = (z0 + z1) / 2
            front.rect((m - 0.9, m + 0.9), (height + 0.3, height + 1.7), None, 0.9, 1.2)
            front.rect((m - 0.6, m + 0.6), (height + 0.5, height + 1.5), Paint(d.glass[0], BUILDING), 1.0, 1.2)
    if side:
        end.storeys((xs[0] + 1.0, xs[1] - 1.0), floors, d, u[6], False)
    front.rect(spans, (0, height))
    front.rect(spans, (0, 0.55), None, 0.72)
    if floors > 1 and u[7] < 0.6:
        front.rect(spans, (3.35, 3.6), None, 1.16)
    if u[3] >= d.pitched:
        front.rect(spans, (height - 0.5, height), None, 1.12)
        front.rect(spans, (height - 0.62, height - 0.5), None, 0.6)
    front.storeys(spans, floors, d, u[8], fine)
    if u[9] < d.shops and floors > 1:
        front.shop(spans, d, u[10], fine)
    else:
        front.entrance(spans, d, u[10], fine)


def wall(s: Sketch, d: Domain, side: int, box: tuple, u: list[float]) -> None:
    """A masonry wall along the street, with joints and a coping."""
    x, z0, z1 = box
    height, paint = 1.7 + 1.4 * u[0], Paint(pick(d.wall, u[1]), WALL, 0.16)
    xs = tuple(sorted((side * x, side * (x + 0.4))))
    s.block(xs, (0, height), (z0, z1), paint)
    face = Facade(s, paint, (side * x, z0), side)
    for k in range(1, int(height / 0.45)):
        face.rect((z0, z1), (k * 0.45 - 0.05, k * 0.45), None, 0.82)
    for k in range(int((z1 - z0) / 3)):
        face.rect((z0 + 3 * k, z0 + 3 * k + 0.5), (0, height), None, 0.9)
    s.block(xs, (height, height + 0.16), (z0, z1), paint, 1.18)
    s.shade([(side * x, z0), (side * x, z1)], 0.0, height)
    s.contact([(side * (x - 0.35), z0), (side * x, z0), (side * x, z1), (side * (x - 0.35), z1)], 0.5)


def fence(s: Sketch, d: Domain, side: int, box: tuple, u: list[float]) -> None:
    """A fence along the street. Its gaps are painted and labelled as fence, as annotators do."""
    x, z0, z1 = box
    height, paint = 1.2 + 0.9 * u[0], Paint(pick(d.fence, u[1]), FENCE, 0.03)
    face = Facade(s, paint, (side * x, z0), side)
    gaps = Paint(tuple(0.45 * c + 0.2 * l for c, l in zip(paint.colour, d.leaf[0], strict=True)), FENCE, 0.2)
    face.rect((z0, z1), (0, height - 0.1), gaps)
    step = 0.34 + 0.5 * u[2]
    for k in range(int((z1 - z0) / step)):
        t = z0 + k * step
        face.rect((t, t + 0.42 * step), (0, height), None, 1.05 if k % 2 else 0.95)
    face.rect((z0, z1), (height - 0.3, height - 0.14), None, 1.1)
    face.rect((z0, z1), (0.15, 0.3), None, 0.9)
    s.shade([(side * x, z0), (side * x, z1)], 0.0, height * 0.9)


def hedge(s: Sketch, d: Domain, side: int, box: tuple, u: list[float]) -> None:
    x, z0, z1 = box
    paint, height = Paint(pick(d.leaf, u[1]), VEGETATION, 0.25), 0.9 + 0.9 * u[0]
    xs = tuple(sorted((side * x, side * (x + 1.0))))
    s.block(xs, (0, height), (z0, z1), paint)
    s.shade([(side * x, z0), (side * x, z1)], 0.0, height)


def blob(s: Sketch, c: tuple, radii: tuple[float, float], paint: Paint, tone: float, u: float) -> None:
    """A leafy clump with a ragged outline."""
    x, y, z = c
    rx, ry = radii
    ring = [(a * (0.8 + 0.35 * jitter(u, k)), b * (0.8 + 0.35 * jitter(u, k))) for k, (a, b) in enumerate(CIRCLE)]
    s.face([(x + rx * a, y + ry * b, z) for a, b in ring], paint, 0.35, tone)


def tree(s: Sketch, d: Domain, x: float, z: float, u: list[float]) -> None:
    """A trunk and a crown of clumps, lighter towards the sun."""
    height = d.tree[0] + (d.tree[1] - d.tree[0]) * u[0]
    ry = height * (0.3 + 0.08 * u[1])
    rx = ry * d.slim * (0.75 + 0.5 * u[2])
    leaf, bark = Paint(pick(d.leaf, u[3]), VEGETATION, 0.3), Paint((96.0, 78.0, 62.0), VEGETATION, 0.2)
    y, w = height - ry, 0.16 + 0.03 * height
    s.limb((x, 0, z), (x + (u[4] - 0.5) * 0.6, y, z), (w * 1.4, w * 0.8), bark, 0.9)
    s.limb((x, y * 0.6, z), (x + rx * 0.5, y, z), (w * 0.5, w * 0.3), bark, 0.8)
    blob(s, (x, y, z), (rx * 0.9, ry * 0.9), leaf, 0.62, u[5])
    sx, sy = self_shading(s)
    for k in range(9):
        a, b = CIRCLE[(k * 7 + int(u[6] * 16)) % 16]
        r = 0.75 - 0.06 * k + 0.1 * jitter(u[7], k)
        tone = 0.86 + 0.34 * (sx * a + sy * b) * r + 0.12 * (jitter(u[8], k) - 0.5)
        blob(s, (x + a * rx * r, y + b * ry * r, z), (rx * 0.42, ry * 0.38), leaf, tone, jitter(u[9], k))
    dx, dz = s.drift
    s.shadows.append(([(x + dx * y + rx * a, max(z + dz * y + rx * b, 1.0)) for a, b in CIRCLE[::2]], 0.9))
    s.shade([(x - w / 2, z), (x + w / 2, z)], 0.0, y)
    s.contact([(x + 0.6 * a, z + 0.6 * b) for a, b in CIRCLE[::2]], 0.5)


def self_shading(s: Sketch) -> tuple[float, float]:
    """The sun's direction in the picture, of length 1."""
    length = (s.sun[0] ** 2 + s.sun[1] ** 2) ** 0.5
    return s.sun[0] / length, s.sun[1] / length


def lamp(s: Sketch, d: Domain, side: int, spot: tuple[float, float], u: list[float]) -> None:
    x, z = spot
    metal, height = Paint(pick(d.metal, u[0]), POLE, 0.03), 6.0 + 2.5 * u[1]
    s.limb((x, 0, z), (x, height, z), (0.26, 0.16), metal)
    s.limb((x, height, z), (x - side * 1.6, height + 0.3, z), (0.14, 0.12), metal)
    s.upright((x - side * 1.6 - 0.35, x - side * 1.6 + 0.35, height + 0.16, height + 0.36), z, metal, 1.2)
    s.shade([(x - 0.08, z), (x + 0.08, z)], 0.0, height)


def traffic_light(s: Sketch, d: Domain, side: int, spot: tuple[float, float], u: list[float]) -> None:
    """A light on a kerb post or, as chance has it, hung over the road from a mast."""
    x, z = spot
    metal, box = Paint(pick(d.metal, u[0]), POLE, 0.03), Paint(pick(d.housing, u[1]), LIGHT, 0.02)
    heads = [(x, 2.7)]
    mast = u[2] < d.mast
    s.limb((x, 0, z), (x, 5.9 if mast else 3.4, z), (0.26, 0.2), metal)
    if mast:
        reach = x - side * (3.2 + 2.0 * u[3])
        s.limb((x, 5.7, z), (reach, 5.9, z), (0.2, 0.14), metal)
        heads += [(reach, 5.0), ((reach + x) / 2, 4.95)]
    on = int(u[4] * 3)
    for cx, cy in heads:
        s.upright((cx - 0.26, cx + 0.26, cy - 0.1, cy + 1.3), z, box)
        s.upright((cx - 0.2, cx + 0.2, cy - 0.04, cy + 1.24), z, box, 0.55)
        for k, colour in enumerate(((60.0, 250.0, 150.0), (255.0, 196.0, 50.0), (255.0, 60.0, 50.0))):
            glow = 1.5 if k == on else 0.25
            s.disc((cx, cy + 0.2 + 0.4 * k, z), 0.16, 0.16, Paint(colour, LIGHT, 0.0), glow)
    s.shade([(x - 0.12, z), (x + 0.12, z)], 0.0, 3.5)


def sign(s: Sketch, d: Domain, spot: tuple[float, float], u: list[float]) -> None:
    """A traffic sign: disc, triangle, square or a large panel, on its pole."""
    x, z = spot
    shape, metal = int(u[1] * 4), Paint(pick(d.metal, u[0]), POLE, 0.03)
    paint, white = Paint(d.sign[shape], SIGN, 0.02), Paint(PALE, SIGN, 0.02)
    y, r = 2.35 + 0.5 * u[2], 0.44 + 0.12 * u[3]
    s.limb((x, 0, z), (x, y + r, z), (0.13, 0.13), metal)
    if shape == 0:
        s.disc((x, y, z), r, r, paint, 1.0, 1)
        s.disc((x, y, z), r * 0.68, r * 0.68, white, 1.0, 1)
    elif shape == 1:
        for k, p in ((1.25, paint), (0.7, white)):
            s.face([(x - r * k, y - r * 0.6 * k, z), (x + r * k, y - r * 0.6 * k, z), (x, y + r * 1.1 * k, z)], p)
    elif shape == 2:
        s.upright((x - r, x + r, y - r, y + r), z, paint)
        s.upright((x - r * 0.6, x + r * 0.6, y - r * 0.2, y + r * 0.2), z, white)
    else:
        s.upright((x - 1.2, x + 1.2, y, y + 1.2), z, white)
        s.upright((x - 1.12, x + 1.12, y + 0.08, y + 1.12), z, paint)
        for k in (0.3, 0.72):
            s.upright((x - 0.85, x + 0.5, y + k, y + k + 0.14), z, white)
    s.shade([(x - 0.06, z), (x + 0.06, z)], 0.0, y)
