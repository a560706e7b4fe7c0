"""The two domains of MiniCity, as one table of numbers: everything that makes the gap stands here."""

from dataclasses import dataclass, fields

Colour = tuple[float, float, float]
Range = tuple[float, float]  # a scene draws its value between the two


@dataclass(frozen=True)
class Domain:
    """What a domain's scenes are drawn from. Lengths in metres, colours in sRGB 0..255, chances 0..1."""

    focal: Range  # camera: focal length in image heights,
    eye: Range  # height above the road,
    horizon: Range  # row of the horizon, from the top, in image heights
    bend: float  # largest curvature of the street, 1/m
    left: Range  # road from the camera to the left kerb,
    right: Range  # and to the right kerb
    pavement: Range  # width of the pavement
    verge: Range  # grass between pavement and lots; negative: none
    lot: Range  # frontage of a lot
    floors: Range  # storeys of a building
    lots: tuple[float, float, float, float, float]  # weights: building, garden, park, wall yard, fence yard
    closed: float  # chance that a building closes the end of the street
    crossing: float  # chance of a crossroads
    shops: float
    pitched: float  # chance of a pitched roof
    marks: float  # chance of lane marks
    street_trees: float  # chances, per place where one could stand
    lamps: float
    signs: float
    lights: float
    mast: float  # chance that a traffic light hangs over the road
    people: float
    parked: float
    traffic: float
    train: float  # chances, per scene
    bus: float
    truck: float
    cyclist: float
    motorcyclist: float
    cycle_stand: float
    motor_stand: float
    tree: Range  # height of a tree
    slim: float  # crown width over crown height
    overcast: Range  # sky from clear (0) to grey (1)
    sun_side: Range  # sun's direction: 0 behind the camera, 1 ahead
    sun_height: Range  # tangent of its elevation
    sunlight: Colour  # light on a face turned to the sun, and from the whole sky
    skylight: Colour
    haze: Range  # share of the view lost to haze in 100 m
    exposure: Range
    warmth: Range  # white balance: red over blue
    contrast: Range
    saturation: Range
    texture: float  # surface texture, times the material's own
    stains: float  # patches, cracks and dirt on the road
    vignette: float
    blur: Range  # in thousandths of the image height
    noise: Range  # sensor noise, standard deviation in grey levels
    chroma: float  # colour softness as of strong JPEG compression, thousandths of the image height
    haze_colour: Colour
    zenith: Colour  # clear sky overhead and at the horizon, and a grey sky
    rim: Colour
    grey: Colour
    road: tuple[Colour, ...]
    pavements: tuple[Colour, ...]
    terrain: tuple[Colour, ...]
    leaf: tuple[Colour, ...]
    facade: tuple[Colour, ...]
    roof: tuple[Colour, ...]
    glass: tuple[Colour, ...]
    wall: tuple[Colour, ...]
    fence: tuple[Colour, ...]
    metal: tuple[Colour, ...]  # poles
    housing: tuple[Colour, ...]  # of traffic lights
    sign: tuple[Colour, ...]  # disc, triangle, square, and panel
    car: tuple[Colour, ...]
    truck_body: tuple[Colour, ...]
    bus_body: tuple[Colour, ...]
    train_body: tuple[Colour, ...]
    cloth: tuple[Colour, ...]
    skin: tuple[Colour, ...]
    cycle: tuple[Colour, ...]


# fmt: off
GAME = Domain(
    focal=(1.15, 1.3), eye=(1.6, 1.9), horizon=(.40, .45), bend=.0008,
    left=(7., 10.5), right=(4., 7.), pavement=(3.2, 5.2), verge=(-2., 5.), lot=(13., 22.), floors=(1.6, 6.4),
    lots=(.56, .14, .16, .07, .07), closed=.2, crossing=.4, shops=.35, pitched=.35, marks=1.,
    street_trees=.42, lamps=.6, signs=.3, lights=.35, mast=.7, people=.2, parked=.16, traffic=.42,
    train=.10, bus=.12, truck=.16, cyclist=.16, motorcyclist=.2, cycle_stand=.14, motor_stand=.08,
    tree=(6., 9.5), slim=.8, overcast=(0., .15), sun_side=(.05, .45), sun_height=(.9, 1.6),
    sunlight=(.62, .58, .5), skylight=(.5, .53, .6), haze=(.05, .14),
    exposure=(1., 1.06), warmth=(1., 1.04), contrast=(1.05, 1.1), saturation=(1.1, 1.2),
    texture=.45, stains=.25, vignette=0., blur=(0., .6), noise=(0., 1.), chroma=0.,
    haze_colour=(190, 215, 240), zenith=(62, 128, 222), rim=(172, 212, 246), grey=(214, 224, 236),
    road=((104, 106, 114), (112, 113, 120), (96, 99, 108)),
    pavements=((196, 186, 168), (186, 182, 176), (204, 190, 164)),
    terrain=((106, 160, 58), (122, 168, 66), (92, 148, 56)),
    leaf=((62, 138, 46), (84, 154, 52), (46, 116, 54), (104, 158, 46)),
    facade=((228, 198, 150), (206, 122, 92), (242, 234, 216), (166, 190, 208), (224, 172, 92), (190, 150, 128),
            (150, 172, 146), (236, 212, 192)),
    roof=((176, 76, 50), (156, 62, 46), (124, 116, 116), (190, 98, 64)),
    glass=((74, 112, 150), (92, 132, 168), (60, 88, 122), (120, 158, 186)),
    wall=((214, 196, 166), (188, 112, 84), (206, 202, 196)),
    fence=((232, 228, 216), (150, 104, 66), (92, 98, 100)),
    metal=((88, 94, 98), (120, 124, 126)),
    housing=((206, 164, 44), (70, 74, 76)),
    sign=((216, 34, 40), (250, 204, 30), (28, 92, 200), (22, 136, 84)),
    car=((206, 36, 36), (242, 196, 40), (36, 84, 190), (240, 240, 238), (34, 34, 40), (30, 140, 80), (236, 120, 30),
         (176, 182, 190)),
    truck_body=((236, 236, 232), (214, 60, 50), (60, 110, 190)),
    bus_body=((240, 160, 30), (214, 50, 44)), train_body=((60, 150, 160), (150, 60, 130)),
    cloth=((220, 60, 60), (50, 90, 190), (240, 236, 226), (60, 160, 110), (240, 180, 50), (60, 60, 74), (150, 80, 160),
           (120, 180, 220)),
    skin=((236, 190, 156), (206, 150, 112), (140, 94, 66), (246, 208, 176)),
    cycle=((200, 40, 50), (40, 90, 180), (50, 54, 60)),
)
REAL = Domain(
    focal=(1.6, 1.85), eye=(1.25, 1.4), horizon=(.42, .5), bend=.003,
    left=(4.8, 7.4), right=(3.6, 4.8), pavement=(3.0, 5.0), verge=(-4., 2.), lot=(9., 16.), floors=(2.4, 5.6),
    lots=(.54, .1, .16, .1, .1), closed=.5, crossing=.45, shops=.5, pitched=.6, marks=.65,
    street_trees=.4, lamps=.5, signs=.5, lights=.5, mast=.15, people=.42, parked=.34, traffic=.3,
    train=.09, bus=.1, truck=.11, cyclist=.36, motorcyclist=.16, cycle_stand=.36, motor_stand=.14,
    tree=(5., 11.), slim=1.05, overcast=(.1, 1.), sun_side=(.2, .9), sun_height=(.45, 1.1),
    sunlight=(.62, .54, .42), skylight=(.56, .56, .58), haze=(.15, .5),
    exposure=(.85, 1.2), warmth=(.9, 1.12), contrast=(.82, 1.02), saturation=(.62, .9),
    texture=.8, stains=1., vignette=.3, blur=(1., 4.), noise=(2., 6.), chroma=8.,
    haze_colour=(196, 200, 204), zenith=(120, 152, 190), rim=(206, 214, 220), grey=(206, 210, 214),
    road=((88, 84, 80), (108, 102, 96), (74, 72, 72)),
    pavements=((128, 121, 116), (144, 134, 124), (112, 108, 106)),
    terrain=((116, 118, 66), (132, 122, 78), (96, 106, 60)),
    leaf=((60, 78, 40), (74, 84, 44), (92, 90, 46), (48, 66, 42)),
    facade=((172, 160, 144), (138, 122, 110), (190, 184, 172), (122, 110, 102), (170, 146, 118), (150, 150, 148),
            (184, 168, 138), (112, 102, 98)),
    roof=((112, 72, 60), (86, 80, 80), (72, 70, 72), (126, 88, 72)),
    glass=((58, 64, 70), (82, 90, 96), (42, 46, 52), (110, 118, 124)),
    wall=((134, 126, 116), (118, 84, 70), (150, 148, 142)),
    fence=((104, 104, 98), (92, 74, 58), (66, 72, 70)),
    metal=((96, 96, 94), (70, 72, 72)),
    housing=((40, 42, 44), (54, 56, 52)),
    sign=((176, 44, 46), (206, 176, 70), (44, 78, 140), (196, 190, 176)),
    car=((30, 32, 36), (66, 70, 76), (150, 154, 158), (204, 204, 200), (38, 50, 78), (104, 36, 36), (140, 130, 112),
         (48, 62, 58)),
    truck_body=((188, 188, 184), (96, 104, 116), (150, 122, 84)),
    bus_body=((196, 170, 70), (150, 52, 50)), train_body=((176, 160, 70), (150, 66, 60)),
    cloth=((44, 46, 54), (70, 76, 92), (120, 112, 104), (96, 46, 48), (58, 66, 60), (30, 30, 34), (150, 146, 140),
           (62, 80, 112)),
    skin=((208, 164, 138), (184, 136, 108), (128, 90, 68), (220, 182, 158)),
    cycle=((70, 36, 38), (40, 50, 70), (36, 38, 40)),
)
# fmt: on


def _mix(a, b, t: float):
    return tuple(_mix(x, y, t) for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else a + (b - a) * t


def blend(gap: float) -> Domain:
    """The domain `gap` of the way from GAME (0) to REAL (1): every number of the table moves in step."""
    return Domain(**{f.name: _mix(getattr(GAME, f.name), getattr(REAL, f.name), gap) for f in fields(Domain)})
