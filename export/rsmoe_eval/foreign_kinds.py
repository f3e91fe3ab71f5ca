"""Images that show no scene: black tiles, noise, clouds, pages, charts. One function a kind, all seeded.

Every function takes a random generator and gives u8 `[SIZE, SIZE, 3]`, RGB.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIZE = 256
WORDS = [
    "the",
    "of",
    "and",
    "report",
    "table",
    "value",
    "figure",
    "total",
    "annual",
    "page",
    "survey",
    "model",
    "data",
    "section",
    "result",
    "sum",
    "in",
    "for",
    "on",
]

Generator = np.random.Generator


def _u8(values: np.ndarray) -> np.ndarray:
    """Rounded and clipped to u8 `[SIZE, SIZE, 3]`; a single band `[SIZE, SIZE]` becomes grey."""
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _colour(rng: Generator, low: int = 0, high: int = 256) -> np.ndarray:
    """A random colour, f64 `[3]`, 0..255."""
    return rng.integers(low, high, 3).astype(float)


def _blend(weight: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`one` where the weight `[SIZE, SIZE]` is 0, `other` where it is 1."""
    return one + weight[..., None] * (other - one)


def fractal(rng: Generator, roughness: float) -> np.ndarray:
    """Noise with a power-law spectrum, `[SIZE, SIZE]`, scaled to 0..1; amplitudes fall as frequency ** -roughness."""
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal((SIZE, SIZE))) * frequency**-roughness
    values = np.fft.ifft2(spectrum).real
    return (values - values.min()) / np.ptp(values)


def black(rng: Generator) -> np.ndarray:
    """A tile without data or at night: levels 0 to 6, some with sensor noise."""
    return _u8(np.full((SIZE, SIZE, 3), rng.integers(0, 7)) + rng.normal(0, rng.choice([0, 0, 2]), (SIZE, SIZE, 3)))


def white(rng: Generator) -> np.ndarray:
    """Saturated: levels 249 to 255."""
    return _u8(255 - rng.integers(0, 7) - np.abs(rng.normal(0, rng.choice([0, 0, 2]), (SIZE, SIZE, 3))))


def constant(rng: Generator) -> np.ndarray:
    """One colour."""
    return _u8(np.broadcast_to(_colour(rng), (SIZE, SIZE, 3)))


def uniform_noise(rng: Generator) -> np.ndarray:
    """Independent uniform values, grey or coloured."""
    shape = (SIZE, SIZE) if rng.random() < 0.5 else (SIZE, SIZE, 3)
    return _u8(rng.uniform(0, rng.integers(80, 256), shape))


def gaussian_noise(rng: Generator) -> np.ndarray:
    """A colour under normal noise, standard deviation 15 to 80 levels."""
    shape = (SIZE, SIZE, 1) if rng.random() < 0.5 else (SIZE, SIZE, 3)
    return _u8(_colour(rng, 40, 216) + rng.normal(0, rng.uniform(15, 80), shape))


def salt_and_pepper(rng: Generator) -> np.ndarray:
    """A colour with 2 to 60 % of the pixels black or white."""
    image = np.array(np.broadcast_to(_colour(rng), (SIZE, SIZE, 3)))
    hit = rng.random((SIZE, SIZE)) < rng.uniform(0.02, 0.6)
    image[hit] = 255.0 * rng.integers(0, 2, (int(hit.sum()), 1))
    return _u8(image)


def gradient(rng: Generator) -> np.ndarray:
    """From one colour to another, along a line or away from a point."""
    row, col = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        weight = row * np.sin(angle) + col * np.cos(angle)
    else:
        weight = np.hypot(row - rng.random(), col - rng.random())
    weight = (weight - weight.min()) / np.ptp(weight)
    return _u8(_blend(weight, _colour(rng), _colour(rng)))


def stripes(rng: Generator) -> np.ndarray:
    """Parallel stripes at any angle, as dropped lines or a test pattern make them."""
    row, col = np.mgrid[0:SIZE, 0:SIZE]
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    phase = (row * np.sin(angle) + col * np.cos(angle)) / rng.uniform(4, 48)
    return _u8(_blend((phase % 1 < 0.5).astype(float), _colour(rng), _colour(rng)))


def checker(rng: Generator) -> np.ndarray:
    """A checkerboard, cells of 4 to 64 pixels."""
    row, col = np.mgrid[0:SIZE, 0:SIZE] // rng.integers(4, 65)
    return _u8(_blend(((row + col) % 2).astype(float), _colour(rng), _colour(rng)))


def _clouds(rng: Generator, ground: np.ndarray) -> np.ndarray:
    cover = np.clip((fractal(rng, rng.uniform(1.4, 2.0)) - rng.uniform(0.15, 0.45)) * rng.uniform(1.5, 4), 0, 1)
    return _u8(_blend(cover, ground, np.full(3, rng.uniform(225, 255))))


def clouds_over_blue(rng: Generator) -> np.ndarray:
    """White clouds over blue: open sea or sky."""
    return _clouds(rng, np.array([rng.uniform(10, 90), rng.uniform(50, 140), rng.uniform(110, 220)]))


def clouds_over_grey(rng: Generator) -> np.ndarray:
    """An overcast deck: white over grey."""
    return _clouds(rng, np.full(3, rng.uniform(90, 190)))


def blurred_noise(rng: Generator) -> np.ndarray:
    """Noise out of focus: soft blobs of colour."""
    blurred = Image.fromarray(uniform_noise(rng)).filter(ImageFilter.GaussianBlur(rng.uniform(4, 20)))
    values = np.asarray(blurred, dtype=float)
    return _u8((values - values.min()) * rng.uniform(80, 255) / max(np.ptp(values), 1))


def nodata(rng: Generator) -> np.ndarray:
    """A tile at the border of a scene whose valid half is empty too: one colour, noise or cloud."""
    row, col = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    angle = rng.uniform(0, 2 * np.pi)
    outside = (row - 0.5) * np.sin(angle) + (col - 0.5) * np.cos(angle) > rng.uniform(-0.2, 0.2)
    inside = (constant, gaussian_noise, clouds_over_grey)[rng.integers(3)](rng)
    return np.where(outside[..., None], np.uint8(rng.choice([0, 255])), inside)


def jpeg_blocks(rng: Generator) -> np.ndarray:
    """Noise or soft blobs after a JPEG encoder at quality 1 to 6: 8 x 8 blocks, as a broken transfer shows."""
    source = (uniform_noise, blurred_noise)[rng.integers(2)](rng)
    file = io.BytesIO()
    Image.fromarray(source).save(file, "JPEG", quality=int(rng.integers(1, 7)))
    return np.asarray(Image.open(file).convert("RGB"))


def page(rng: Generator) -> np.ndarray:
    """A page of text, dark on light."""
    image = Image.new("RGB", (SIZE, SIZE), tuple(int(v) for v in _colour(rng, 225, 256)))
    draw, ink = ImageDraw.Draw(image), tuple(int(v) for v in _colour(rng, 0, 70))
    size = int(rng.integers(8, 22))
    font, top = ImageFont.load_default(size), int(rng.integers(4, 20))
    while top < SIZE - size:
        line = " ".join(rng.choice(WORDS) for _ in range(rng.integers(3, 12)))
        draw.text((int(rng.integers(6, 16)), top), line.capitalize(), fill=ink, font=font)
        top += round(size * (1.3 if rng.random() < 0.85 else 2.4))
    return np.asarray(image)


def chart(rng: Generator) -> np.ndarray:
    """A bar, line or pie chart with axes and a title."""
    image = Image.new("RGB", (SIZE, SIZE), "white")
    draw = ImageDraw.Draw(image)
    colours = [tuple(int(v) for v in _colour(rng, 20, 230)) for _ in range(6)]
    draw.text((60, 6), " ".join(rng.choice(WORDS) for _ in range(3)).title(), fill="black")
    shape, values = rng.integers(3), rng.uniform(0.1, 1, 6)
    if shape == 0:
        for i, value in enumerate(values):
            draw.rectangle((40 + 34 * i, 230 - 190 * value, 62 + 34 * i, 230), fill=colours[i])
    elif shape == 1:
        for colour in colours[:3]:
            points = [(36 + 36 * i, 230 - 190 * float(v)) for i, v in enumerate(rng.uniform(0, 1, 6))]
            draw.line(points, fill=colour, width=3)
    else:
        ends = np.concatenate([[0], np.cumsum(values) / values.sum()]) * 360
        for i in range(6):
            draw.pieslice((50, 50, 210, 210), float(ends[i]), float(ends[i + 1]), fill=colours[i], outline="white")
    if shape < 2:
        draw.line((30, 30, 30, 232, 246, 232), fill="black", width=2)
        for i in range(5):
            draw.text((6, 226 - 45 * i), str(20 * i), fill="black")
    return np.asarray(image)


def drawing(rng: Generator) -> np.ndarray:
    """Flat shapes on a flat ground, as a logo or a child's drawing."""
    image = Image.new("RGB", (SIZE, SIZE), tuple(int(v) for v in _colour(rng)))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(4, 14)):
        box = sorted(rng.integers(0, SIZE, 2).tolist()), sorted(rng.integers(0, SIZE, 2).tolist())
        colour = tuple(int(v) for v in _colour(rng))
        corners = (box[0][0], box[1][0], box[0][1], box[1][1])
        choice = rng.integers(4)
        if choice == 0:
            draw.ellipse(corners, fill=colour)
        elif choice == 1:
            draw.rectangle(corners, fill=colour)
        elif choice == 2:
            draw.polygon([tuple(p) for p in rng.integers(0, SIZE, (3, 2)).tolist()], fill=colour)
        else:
            draw.line(corners, fill=colour, width=int(rng.integers(2, 12)))
    return np.asarray(image)


KINDS: dict[str, Callable[[Generator], np.ndarray]] = {
    make.__name__: make
    for make in (
        black,
        white,
        constant,
        uniform_noise,
        gaussian_noise,
        salt_and_pepper,
        gradient,
        stripes,
        checker,
        clouds_over_blue,
        clouds_over_grey,
        blurred_noise,
        nodata,
        jpeg_blocks,
        page,
        chart,
        drawing,
    )
}
