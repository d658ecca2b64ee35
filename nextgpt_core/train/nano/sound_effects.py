"""Sounds of the world made from numbers: rain, sirens, bells, engines, animals.

A recipe takes (rng, pitch, rate, force) and returns float [SAMPLES] at any level: pitch and rate are factors around 1, force is 0 (weak) to
1 (strong). Recipes take only what they use of the last three.
"""

import io
import subprocess
from collections.abc import Callable, Sequence

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

from nextgpt_core.errors import CheckpointMissing

RATE = 16_000
SECONDS = 2.56
SAMPLES = 40_960
TIME = np.arange(SAMPLES) / RATE

Array = np.ndarray
Rng = np.random.Generator

# ---- building blocks ------------------------------------------------------------------------------------------------------------------


def noise(rng: Rng, low: float = 20, high: float = 8000, samples: int = SAMPLES, slope: float = 0.0) -> Array:
    """Noise of unit RMS between two frequencies (soft edges), power falling as frequency**-slope (1 pink, 2 brown)."""
    spectrum = rng.normal(size=samples // 2 + 1) + 1j * rng.normal(size=samples // 2 + 1)
    f = np.fft.rfftfreq(samples, 1 / RATE) + 1e-3
    shape = 1 / ((1 + (low / f) ** 6) * (1 + (f / high) ** 6)) * f ** (-slope / 2)
    x = np.fft.irfft(spectrum * shape, samples)
    return x / (np.sqrt(np.mean(x**2)) + 1e-9)


def wander(rng: Rng, hertz: float, samples: int = SAMPLES) -> Array:
    """A slow random curve in -1..1 that changes about `hertz` times a second."""
    knots = max(3, int(samples / RATE * hertz) + 3)
    return np.interp(np.linspace(0, knots - 1, samples), np.arange(knots), rng.uniform(-1, 1, knots))


def tone(frequency: Array | float, samples: int = SAMPLES) -> Array:
    """A sine of a constant or changing frequency."""
    return np.sin(2 * np.pi * np.cumsum(np.broadcast_to(frequency, samples)) / RATE)


def buzz(frequency: Array | float, samples: int = SAMPLES, harmonics: int = 20, tilt: float = 1.0) -> Array:
    """Harmonics of a fundamental, the h-th at h**-tilt, none above 7.5 kHz."""
    frequency = np.broadcast_to(np.asarray(frequency, dtype=float), samples)
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    return sum((h**-tilt * np.sin(h * phase) * (h * frequency < 7500) for h in range(1, harmonics + 1)), np.zeros(samples))


def voice(frequency: Array, formants: Sequence[tuple[Array | float, float, float]], harmonics: int = 30) -> Array:
    """A voiced sound: harmonics weighted by resonances (centre, width, gain), each possibly moving."""
    phase = 2 * np.pi * np.cumsum(frequency) / RATE
    out = np.zeros(len(frequency))
    for h in range(1, harmonics + 1):
        f = h * frequency
        weight = sum(gain / (1 + ((f - centre) / width) ** 2) for centre, width, gain in formants)
        out += (weight + 0.02) * h**-0.5 * np.sin(h * phase) * (f < 7500)
    return out


def decay(seconds: float, samples: int = SAMPLES, attack: float = 0.002) -> Array:
    """A struck thing's envelope: fast attack, exponential fall to 1/e after `seconds`."""
    t = np.arange(samples) / RATE
    return np.minimum(t / attack, 1) * np.exp(-t / seconds)


def swell(samples: int, attack: float = 0.2, release: float = 0.3) -> Array:
    """Rises during the first `attack` part and falls during the last `release` part."""
    t = np.linspace(0, 1, samples)
    return np.clip(np.minimum(t / attack, (1 - t) / release), 0, 1)


def place(out: Array, clip: Array, at: float, gain: float = 1.0) -> None:
    """Add a clip at a time in seconds, cut at the end of `out`."""
    begin = int(at * RATE)
    if begin < len(out):
        clip = clip[: len(out) - begin]
        out[begin : begin + len(clip)] += gain * clip


def beats(rng: Rng, every: float, jitter: float = 0.03) -> Array:
    """Times of a steady beat with a random start."""
    times = rng.uniform(0.02, 0.4 * every) + every * np.arange(int(SECONDS / every) + 1)
    return times + rng.normal(0, jitter * every, len(times)).clip(-0.4 * every, 0.4 * every) * (times > 0.1)


def length(seconds: float) -> int:
    return int(seconds * RATE)


def struck(partials: Sequence[tuple[float, float, float]], seconds: float) -> Array:
    """Sum of decaying sines: (frequency, gain, decay in seconds)."""
    n = length(seconds)
    return sum((g * tone(f, n) * decay(d, n) for f, g, d in partials if f < 7600), np.zeros(n))


# ---- weather, water, fire -------------------------------------------------------------------------------------------------------------


def rain(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = noise(rng, 600, 4000 + 3500 * force, slope=0.6) * (0.12 + 0.5 * force)
    for _ in range(int(50 + 500 * force)):
        n = length(rng.uniform(0.004, 0.015))
        place(out, noise(rng, 1500, 7500, n) * decay(0.003, n, 0.0005), rng.uniform(0, SECONDS), rng.exponential(0.7))
    return out


def wind(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    body = noise(rng, 80, 500, slope=1.0) * (0.7 + 0.3 * wander(rng, 1))
    centre = 500 * pitch * (1 + 0.4 * wander(rng, 1.2)) * (1 + 0.5 * force)
    wobble = centre * (1 + 0.04 * np.cumsum(rng.normal(size=SAMPLES)) / 60)  # a noisy sine is the whistle of narrow-band noise
    whistle = tone(wobble + 120 * noise(rng, 5, 60)) * (0.6 + 0.4 * wander(rng, 1.5))
    return body + (0.3 + 0.9 * force) * whistle + 0.15 * noise(rng, 200, 2500) * (0.6 + 0.4 * wander(rng, 1))


def thunder(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    start = rng.uniform(0.05, 0.5)
    for _ in range(int(2 + 5 * force)):
        n = length(0.5)
        place(
            out,
            noise(rng, 60, 1500 + 4000 * force, n, 0.8) * decay(0.12, n),
            start + rng.exponential(0.12),
            (0.3 + force) * rng.uniform(0.4, 1),
        )
    rumble = noise(rng, 30, 160, slope=0.5) * (0.6 + 0.4 * wander(rng, 5))
    return out + 1.2 * rumble * np.clip((TIME - start) / 0.1, 0, 1) * np.exp(-np.clip(TIME - start, 0, 9) / 1.1)


def dripping(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 0.5 / rate, 0.12):
        n = length(0.09)
        sweep = pitch * rng.uniform(900, 1200) * (1 + 0.9 * np.linspace(0, 1, n) ** 2)
        place(out, tone(sweep, n) * decay(0.02, n), at)
        place(out, tone(0.5 * sweep, n) * decay(0.01, n), at + 0.03, 0.3)
    return out


def bubbles(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = 0.02 * noise(rng, 100, 800)
    for _ in range(int(45 * rate)):
        n = length(rng.uniform(0.03, 0.08))
        sweep = pitch * rng.uniform(250, 700) * (1 + np.linspace(0, 1.2, n))
        place(out, tone(sweep, n) * swell(n), rng.uniform(0, SECONDS), rng.uniform(0.3, 1))
    return out


def stream(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = 0.25 * noise(rng, 300, 2500, slope=1.0)
    for _ in range(500):
        n = length(rng.uniform(0.01, 0.04))
        place(
            out, tone(rng.uniform(700, 2600) * (1 + np.linspace(0, 0.3, n)), n) * swell(n), rng.uniform(0, SECONDS), rng.exponential(0.25)
        )
    return out


def fire(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = 0.12 * noise(rng, 40, 400, slope=1.0) * (0.7 + 0.3 * wander(rng, 6))
    for _ in range(int(35 + 60 * force)):
        n = length(0.03)
        place(out, noise(rng, 900, 6000, n) * decay(rng.uniform(0.001, 0.006), n, 0.0003), rng.uniform(0, SECONDS), rng.exponential(0.8))
    return out


def kettle(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    rise = np.clip(TIME / rng.uniform(0.8, 1.5), 0, 1)
    whistle = tone(pitch * (1700 + 900 * rise + 12 * tone(9))) * rise**2
    return whistle + 0.3 * tone(2 * pitch * (1700 + 900 * rise)) * rise**3 + 0.15 * noise(rng, 1500, 7000)


def explosion(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    start = rng.uniform(0.05, 0.3)
    n = length(2.4)
    place(out, np.tanh(3 * noise(rng, 25, 2500, n, 1.2) * decay(0.25, n)), start)
    place(out, noise(rng, 25, 120, n) * decay(0.7, n), start, 0.8)
    return out


def fireworks(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    climb, n = rng.uniform(0.6, 0.9), length(1.4)
    m = length(climb)
    place(out, tone(np.linspace(900, 2600, m), m) * swell(m, 0.5, 0.1), 0.02, 0.35)
    place(out, noise(rng, 40, 1500, n, 1.0) * decay(0.15, n), climb + 0.05, 1.2)
    for _ in range(60):
        k = length(0.02)
        place(out, noise(rng, 2000, 7500, k) * decay(0.004, k), climb + 0.25 + abs(rng.normal(0, 0.6)), rng.uniform(0.1, 0.5))
    return out


def glass(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    start = rng.uniform(0.1, 0.6)
    place(out, noise(rng, 1500, 7800, length(0.3)) * decay(0.04, length(0.3)), start, 1.2)
    for _ in range(45):
        ping = struck([(rng.uniform(2500, 7400), 1, rng.uniform(0.02, 0.12))], 0.4)
        place(out, ping, start + rng.exponential(0.22), rng.uniform(0.1, 0.6))
    return out


# ---- alarms, bells, phones ------------------------------------------------------------------------------------------------------------


def siren(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * (TIME * rate * 0.55 + rng.uniform()))
    return buzz(pitch * (480 + 650 * sweep), harmonics=8, tilt=1.2)


def ambulance(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    high = ((TIME * rate * 1.1 + rng.uniform()) % 1) < 0.5
    return buzz(pitch * np.where(high, 580, 435), harmonics=10, tilt=0.9)


def police(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    sweep = 1 - ((TIME * rate * 3.6 + rng.uniform()) % 1)  # the yelp: many quick falls a second
    return buzz(pitch * (650 + 850 * sweep), harmonics=8, tilt=1.0)


def alarm_clock(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    at = TIME * rate + rng.uniform()
    gate = ((at % 1) < 0.5) & ((at * 8) % 1 < 0.5)  # groups of four short beeps
    return buzz(2050 * pitch, harmonics=3, tilt=0.8) * gate


def smoke_alarm(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    at = (TIME * rate + rng.uniform(0, 0.5)) % 1
    return (tone(3150 * pitch) + 0.3 * tone(6300 * pitch)) * (at < 0.6)


def buzzer(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    n = length(rng.uniform(0.8, 1.6))
    out = np.zeros(SAMPLES)
    place(out, np.sign(buzz(120 * pitch, n)) + np.sign(buzz(151 * pitch, n)), rng.uniform(0.1, 0.6))
    return out


def church_bell(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    f, out = 420 * pitch, np.zeros(SAMPLES)
    parts = [
        (0.5, 0.7, 2.2),
        (1, 1, 1.4),
        (1.19, 0.8, 1.1),
        (1.5, 0.5, 0.8),
        (2, 0.9, 0.7),
        (2.74, 0.4, 0.4),
        (3.76, 0.3, 0.25),
        (5.1, 0.2, 0.12),
    ]
    for at in beats(rng, 1.25 / rate, 0.01):
        place(out, struck([(f * r, g, d) for r, g, d in parts], SECONDS), at)
    return out


def gong(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    partials = [(130 * pitch * r, 1 / r**0.5, 1.6 / r**0.5) for r in (1, 1.48, 1.83, 2.31, 2.9, 3.66, 4.5, 5.7, 7.1)]
    shimmer = (
        noise(rng, 900, 5000, slope=1) * np.clip(TIME / 0.25, 0, 1) * np.exp(-TIME / 0.7)
    )  # a gong's brightness blooms after the stroke
    place(out, struck(partials, SECONDS) + 0.5 * shimmer, rng.uniform(0.02, 0.3))
    return out


def doorbell(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, start = np.zeros(SAMPLES), rng.uniform(0.05, 0.5)
    for at, f in ((0, 659), (0.55 / rate, 523)):
        place(out, struck([(f * pitch, 1, 0.5), (3 * f * pitch, 0.3, 0.25), (5.4 * f * pitch, 0.1, 0.1)], 2), start + at)
    return out


def bicycle_bell(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, start = np.zeros(SAMPLES), rng.uniform(0.05, 0.3)
    for ring in (0.0, 0.7 / rate, 1.4 / rate):
        for k in range(6):
            hit = struck([(2450 * pitch, 1, 0.25), (3930 * pitch, 0.6, 0.2), (6300 * pitch, 0.4, 0.1)], 0.8)
            place(out, hit, start + ring + 0.055 * k, 0.5 + 0.1 * k)
    return out


def dial_tone(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    return tone(350.0) + tone(440.0)


def busy_tone(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    return (tone(480.0) + tone(620.0)) * ((TIME + rng.uniform()) % 0.8 < 0.4)


def dialling(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    step = 0.26 / rate
    for k in range(int(SECONDS / step)):
        n = length(0.6 * step)
        place(out, tone(float(rng.choice([697, 770, 852, 941])), n) + tone(float(rng.choice([1209, 1336, 1477])), n), 0.05 + k * step)
    return out


def morse(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at, unit = np.zeros(SAMPLES), 0.05, 0.06 / rate
    while at < SECONDS:
        n = length(unit * (3 if rng.uniform() < 0.4 else 1))
        place(out, tone(700 * pitch, n) * swell(n, 0.05, 0.05), at)
        at += n / RATE + unit * (3 if rng.uniform() < 0.25 else 1)
    return out


def sonar(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = 0.02 * noise(rng, 50, 400)
    for at in beats(rng, 1.3 / rate, 0):
        for echo in range(4):
            place(out, tone(1050 * pitch, length(1.2)) * decay(0.25, length(1.2), 0.01), at + 0.22 * echo, 0.45**echo)
    return out


def static(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = noise(rng, 200, 7500) * (0.8 + 0.2 * wander(rng, 8))
    for _ in range(25):
        n = length(0.02)
        place(out, noise(rng, 300, 7000, n) * decay(0.005, n), rng.uniform(0, SECONDS), 3)
    return out


def laser(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 0.5 / rate, 0.1):
        n = length(0.3)
        place(out, buzz(pitch * (200 + 3000 * np.exp(-np.linspace(0, 5, n))), n, 6) * decay(0.12, n), at)
    return out


def coin(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 0.9 / rate, 0.05):
        n, m = length(0.08), length(0.6)
        place(out, np.sign(tone(988 * pitch, n)), at)
        place(out, np.sign(tone(1319 * pitch, m)) * decay(0.2, m), at + 0.08)
    return out


def jump(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 0.7 / rate, 0.05):
        n = length(0.3)
        place(out, np.sign(tone(pitch * np.linspace(250, 900, n), n)) * decay(0.3, n), at)
    return out


def ufo(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    return tone(pitch * (900 + 220 * tone(6.5 * rate) + 150 * wander(rng, 1))) + 0.3 * tone(2 * pitch * (900 + 220 * tone(6.5 * rate)))


# ---- machines -------------------------------------------------------------------------------------------------------------------------


def engine(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    f = 38 * pitch * (1 + 0.03 * wander(rng, 3))
    pulses = (0.5 + 0.5 * tone(f)) ** 6
    return buzz(f, harmonics=30, tilt=0.7) * (0.6 + 0.4 * pulses) + 0.5 * noise(rng, 60, 900, slope=1) * pulses


def motorcycle(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    revs = 0.5 - 0.5 * np.cos(2 * np.pi * (TIME * 0.8 * rate + rng.uniform()))
    f = pitch * (70 + 130 * revs**1.5)
    return np.tanh(2 * buzz(f, harmonics=40, tilt=0.6)) * (0.5 + 0.5 * revs) + 0.3 * noise(rng, 200, 4000, slope=1) * (0.3 + revs)


def train_horn(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, n = np.zeros(SAMPLES), length(rng.uniform(1.2, 2.0))
    chord = sum(buzz(pitch * f, n, 16, 0.7) for f in (277, 330, 392, 466, 554))
    place(out, chord * swell(n, 0.08, 0.12), rng.uniform(0.05, 0.4))
    return out


def steam_train(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = 0.05 * noise(rng, 50, 600)
    for k, at in enumerate(beats(rng, 0.23 / rate, 0.02)):
        n = length(min(0.2, 0.2 / rate))
        place(out, noise(rng, 250, 3500, n, 0.7) * swell(n, 0.15, 0.8) ** 1.5, at, 1.0 if k % 4 == 0 else 0.55)
    return out


def car_horn(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at = np.zeros(SAMPLES), rng.uniform(0.05, 0.3)
    for _ in range(int(rng.integers(1, 4))):
        n = length(rng.uniform(0.3, 0.7))
        place(out, (buzz(410 * pitch, n, 18, 0.5) + buzz(515 * pitch, n, 14, 0.5)) * swell(n, 0.04, 0.06), at)
        at += n / RATE + 0.15
    return out


def ship_horn(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, n = np.zeros(SAMPLES), length(rng.uniform(1.6, 2.2))
    place(out, buzz(82 * pitch, n, 30, 0.9) * swell(n, 0.12, 0.2), rng.uniform(0.02, 0.3))
    return out


def jet(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    passing = np.exp(-(((TIME - rng.uniform(1.0, 1.6)) / 0.9) ** 2))
    whine = tone(pitch * (2300 - 500 * TIME / SECONDS)) * 0.35
    return passing * (noise(rng, 60, 1200, slope=0.8) + 0.4 * noise(rng, 800, 6000) * passing + whine)


def drill(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    f = 190 * pitch * (1 + 0.05 * wander(rng, 3))
    grind = 0.6 + 0.4 * tone(31.0)
    return np.tanh(2 * buzz(f, harmonics=35, tilt=0.3)) * grind + 0.5 * noise(rng, 2000, 7500) * grind


def vacuum(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    f = pitch * (330 + 10 * wander(rng, 1))
    return noise(rng, 250, 6000, slope=0.8) + 0.5 * buzz(f, harmonics=5, tilt=0.8) + 0.3 * tone(100.0)


def clock(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for k, at in enumerate(beats(rng, 0.5 / rate, 0)):
        f = pitch * (2600 if k % 2 else 2050)
        place(out, struck([(f, 1, 0.008), (1.7 * f, 0.6, 0.005)], 0.08), at)
        place(out, noise(rng, 2500, 7500, length(0.02)) * decay(0.003, length(0.02), 0.0003), at, 0.5)
    return out


def typing(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at = np.zeros(SAMPLES), 0.05
    while at < SECONDS:
        n = length(0.04)
        place(out, noise(rng, 1200, 6000, n) * decay(0.005, n, 0.0005), at, rng.uniform(0.5, 1))
        place(out, struck([(rng.uniform(300, 420), 1, 0.012)], 0.06), at, 0.5)
        place(out, noise(rng, 2500, 7500, n) * decay(0.003, n, 0.0005), at + 0.06, 0.25)
        at += rng.uniform(0.08, 0.22) / rate
    return out


def camera(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 1.0 / rate, 0.1):
        for delay, low, gain in ((0, 1500, 1.0), (0.07, 900, 0.8), (0.10, 2500, 0.5)):
            place(out, noise(rng, low, 7000, length(0.06)) * decay(0.009, length(0.06), 0.0005), at + delay, gain)
    return out


def hammer(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 0.6 / rate, 0.05):
        place(out, noise(rng, 150, 3000, length(0.1), 0.7) * decay(0.012, length(0.1)), at, 1.2)
        place(out, struck([(1380 * pitch, 0.7, 0.12), (2970 * pitch, 0.6, 0.09), (4710 * pitch, 0.4, 0.05)], 0.5), at)
    return out


def saw(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for k, at in enumerate(beats(rng, 0.4 / rate, 0.02)):
        n = length(0.34 / rate)
        teeth = 0.5 + 0.5 * np.sign(tone(np.linspace(60, 110, n), n))
        place(out, noise(rng, 1200 if k % 2 else 800, 6500, n, 0.5) * teeth * swell(n, 0.4, 0.3), at)
    return out


def creaking(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    f = pitch * 34 * (1 + 0.5 * wander(rng, 2)) * (1 + 0.8 * TIME / SECONDS)
    clicks = np.diff(np.floor(np.cumsum(f) / RATE), prepend=0)
    ring = struck([(620 * pitch, 1, 0.012), (1150 * pitch, 0.9, 0.009), (2300 * pitch, 0.6, 0.005)], 0.1)
    return np.convolve(clicks, ring)[:SAMPLES] * (0.65 + 0.35 * wander(rng, 2)) * swell(SAMPLES, 0.1, 0.15)


def zipper(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, n = np.zeros(SAMPLES), length(rng.uniform(0.5, 0.8) / rate)
    teeth = np.clip(tone(np.linspace(70, 190, n) * pitch, n), 0, 1) ** 3
    for at in (0.15, 0.3 + n / RATE + 0.2):
        place(out, noise(rng, 2500, 7500, n) * teeth * np.linspace(0.5, 1, n), at)
    return out


# ---- people ---------------------------------------------------------------------------------------------------------------------------


def heartbeat(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 0.82 / rate, 0.01):
        for delay, f, gain in ((0, 58, 1.0), (0.22 / rate**0.5, 72, 0.7)):
            n = length(0.25)
            place(out, tone(pitch * f * np.linspace(1.3, 0.8, n), n) * decay(0.05, n, 0.012), at + delay, gain)
    return out


def footsteps(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for k, at in enumerate(beats(rng, 0.52 / rate, 0.03)):
        n = length(0.15)
        place(out, noise(rng, 60, 450, n) * decay(0.02, n, 0.003), at, 1.0 if k % 2 else 0.8)
        place(out, noise(rng, 800, 4500, n) * decay(0.03, n, 0.01), at + 0.05, 0.25)
    return out


def knocking(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at = np.zeros(SAMPLES), rng.uniform(0.1, 0.4)
    while at < SECONDS - 0.2:
        for k in range(int(rng.integers(3, 5))):
            hit = struck([(180 * pitch, 1, 0.03), (410 * pitch, 0.7, 0.02), (760 * pitch, 0.4, 0.012)], 0.2)
            place(out, hit + 0.3 * noise(rng, 200, 2500, len(hit)) * decay(0.006, len(hit)), at + 0.17 * k / rate)
        at += 1.3 / rate
    return out


def snoring(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at = np.zeros(SAMPLES), rng.uniform(0, 0.3)
    while at < SECONDS:
        n = length(1.0 / rate)
        flutter = np.clip(tone(pitch * 27 * (1 + 0.1 * wander(rng, 4, n)), n), 0, 1) ** 2
        place(out, noise(rng, 150, 900, n, 0.6) * (0.15 + flutter) * swell(n, 0.4, 0.3), at)
        place(out, noise(rng, 500, 3000, n, 0.6) * swell(n, 0.3, 0.6), at + 1.05 / rate, 0.12)
        at += 2.0 / rate
    return out


def crying(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at = np.zeros(SAMPLES), rng.uniform(0, 0.15)
    while at < SECONDS:
        n = length(rng.uniform(0.65, 0.85) / rate)
        t = np.linspace(0, 1, n)
        f = pitch * 430 * (1 + 0.35 * np.sin(np.pi * t**0.7)) * (1 + 0.02 * tone(7.0, n))
        wah = voice(f, [(900 + 300 * np.sin(np.pi * t), 180, 1), (2700, 300, 0.7), (3800, 400, 0.4)])
        place(out, wah * swell(n, 0.1, 0.25) * (1 + 0.3 * tone(28.0, n)), at)
        place(out, noise(rng, 1500, 5000, length(0.15)) * swell(length(0.15)), at + n / RATE, 0.3)
        at += n / RATE + 0.2
    return out


def laughing(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at, k = np.zeros(SAMPLES), rng.uniform(0, 0.15), 0
    base = pitch * rng.uniform(190, 260)
    while at < SECONDS - 0.1:
        n = length(0.12)
        f = base * np.linspace(1.15, 0.9, n) * (1.2 - 0.05 * (k % 8))
        place(out, voice(f, [(800, 120, 1), (1250, 150, 0.7), (2600, 250, 0.3)]) * swell(n, 0.2, 0.5), at + 0.05)
        place(out, noise(rng, 700, 3500, length(0.07)) * swell(length(0.07)), at, 0.25)
        k += 1
        at += 0.2 / rate + (0.25 if k % 8 == 0 else 0)
    return out


SENTENCES = (
    "Good morning, how are you today?",
    "The weather is nice, let us go for a walk.",
    "Please take the second street on the left.",
    "I would like a cup of tea and some bread.",
    "We are meeting at seven in the evening.",
    "My brother lives in a small house by the river.",
    "The train to the city leaves in ten minutes.",
    "Have you seen the new film about the moon?",
    "It was a long and quiet winter.",
    "Thank you very much for your help yesterday.",
    "She opened the window and looked at the garden.",
    "Nobody knows what tomorrow will bring.",
)


def speech(rng: Rng, variant: str, *, pitch: int, speed: int) -> Array:
    """A sentence spoken by espeak-ng. Raises CheckpointMissing where it is not installed."""
    text = " ".join(rng.permutation(SENTENCES)[:2])
    try:
        command = ["espeak-ng", "-v", variant, "-p", str(pitch), "-s", str(speed), "--stdout", text]
        wav = subprocess.run(command, check=True, capture_output=True).stdout
    except FileNotFoundError as error:
        raise CheckpointMissing("Voices are rendered with espeak-ng; install it with `apt-get install espeak-ng`.") from error
    # On a pipe espeak-ng cannot go back to write the length into the header, so it is put there here.
    rate, samples = wavfile.read(
        io.BytesIO(wav[:4] + (len(wav) - 8).to_bytes(4, "little") + wav[8:40] + (len(wav) - 44).to_bytes(4, "little") + wav[44:])
    )
    x = resample_poly(samples.astype(np.float64) / 32768, 320, round(rate / 50))
    begin = int(rng.integers(0, RATE // 4))
    return np.pad(x, (0, max(0, begin + SAMPLES - len(x))))[begin : begin + SAMPLES]


def man_talking(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    return speech(rng, f"en+m{rng.integers(1, 8)}", pitch=int(np.clip(38 * pitch, 5, 70)), speed=int(165 * rate))


def woman_talking(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    return speech(rng, f"en+f{rng.integers(1, 5)}", pitch=int(np.clip(62 * pitch, 35, 99)), speed=int(165 * rate))


def whispering(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    return speech(rng, "en+whisper", pitch=50, speed=int(160 * rate))


def robot_talking(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    flat = speech(rng, "en+m3", pitch=0, speed=int(150 * rate))
    return flat * tone(90 * pitch) + 0.5 * np.roll(flat, 90) * np.sign(tone(45 * pitch))


# ---- animals --------------------------------------------------------------------------------------------------------------------------


def dog(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 0.55 / rate, 0.1):
        n = length(0.2)
        t = np.linspace(0, 1, n)
        f = pitch * 330 * (0.75 + 0.5 * np.sin(np.pi * np.clip(t * 1.4, 0, 1))) * (1 + 0.06 * noise(rng, 40, 400, n))
        bark = voice(f, [(700 + 500 * np.sin(np.pi * t), 220, 1), (1900, 400, 0.5)]) + 0.5 * noise(rng, 500, 3000, n)
        place(out, np.tanh(bark) * swell(n, 0.12, 0.6), at)
    return out


def cat(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at = np.zeros(SAMPLES), rng.uniform(0.05, 0.3)
    while at < SECONDS - 0.4:
        n = length(rng.uniform(0.7, 0.95) / rate)
        t = np.linspace(0, 1, n)
        f = pitch * 560 * (0.8 + 0.45 * np.sin(np.pi * t**0.8))
        meow = voice(f, [(600 + 900 * np.sin(np.pi * t**0.7), 250, 1), (2700 - 900 * t, 350, 0.8), (3900, 400, 0.3)], 14)
        place(out, meow * swell(n, 0.15, 0.45), at)
        at += n / RATE + 0.35
    return out


def cow(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, n = np.zeros(SAMPLES), length(rng.uniform(1.5, 2.0))
    t = np.linspace(0, 1, n)
    f = pitch * 135 * (0.85 + 0.3 * np.sin(np.pi * t**0.7)) * (1 + 0.015 * noise(rng, 20, 90, n))
    opening = np.clip(t / 0.35, 0, 1)
    place(
        out,
        voice(f, [(260 + 260 * opening, 110, 1), (700 + 350 * opening, 160, 0.7), (2300, 300, 0.15)]) * swell(n, 0.12, 0.3),
        rng.uniform(0.05, 0.4),
    )
    return out


def sheep(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at = np.zeros(SAMPLES), rng.uniform(0.05, 0.3)
    while at < SECONDS - 0.4:
        n = length(rng.uniform(0.8, 1.0))
        f = pitch * 320 * (1 + 0.06 * tone(9.0, n)) * np.linspace(1.05, 0.92, n)
        place(out, voice(f, [(650, 160, 1), (1750, 220, 0.9), (2600, 260, 0.5)]) * (0.55 + 0.45 * tone(9.0, n)) * swell(n, 0.08, 0.2), at)
        at += n / RATE + 0.3
    return out


def rooster(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at = np.zeros(SAMPLES), rng.uniform(0.05, 0.4)
    for seconds, begin, end in ((0.16, 520, 620), (0.13, 660, 700), (0.3, 720, 900), (0.85, 860, 560)):
        n = length(seconds)
        f = pitch * np.linspace(begin, end, n)
        place(
            out,
            (voice(f, [(1100, 300, 1), (2200, 400, 0.9), (3300, 400, 0.5)], 10) + 0.1 * noise(rng, 1000, 5000, n)) * swell(n, 0.15, 0.25),
            at,
        )
        at += seconds + 0.03
    return out


def duck(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 0.4 / rate, 0.05):
        n = length(0.2)
        f = pitch * 210 * np.linspace(1.1, 0.85, n) * (1 + 0.03 * noise(rng, 40, 200, n))
        place(out, voice(f, [(1150, 180, 1), (2400, 250, 0.8), (3300, 300, 0.4)], 30) * swell(n, 0.1, 0.4), at)
    return out


def owl(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at = np.zeros(SAMPLES), rng.uniform(0.05, 0.3)
    for seconds, gap in ((0.35, 0.35), (0.14, 0.06), (0.14, 0.06), (0.6, 0.3)):
        n = length(seconds / rate)
        f = pitch * 390 * (1 + 0.05 * np.sin(np.pi * np.linspace(0, 1, n)))
        place(out, (tone(f, n) + 0.12 * tone(2 * f, n) + 0.05 * noise(rng, 250, 900, n)) * swell(n, 0.25, 0.35), at)
        at += (seconds + gap) / rate
    return out


def cuckoo(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 1.15 / rate, 0):
        for delay, f, seconds in ((0, 660, 0.22), (0.32, 523, 0.35)):
            n = length(seconds)
            place(out, (tone(f * pitch, n) + 0.15 * tone(2 * f * pitch, n)) * swell(n, 0.15, 0.4), at + delay / rate)
    return out


def wolf(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, n = np.zeros(SAMPLES), length(2.2)
    t = np.linspace(0, 1, n)
    f = pitch * np.interp(t, [0, 0.18, 0.3, 0.7, 1], [260, 480, 560, 540, 330]) * (1 + 0.01 * tone(5.0, n))
    place(out, voice(f, [(560, 200, 1), (1100, 250, 0.35), (1700, 300, 0.1)], 8) * swell(n, 0.15, 0.3), rng.uniform(0.02, 0.2))
    return out


def frog(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 0.75 / rate, 0.08):
        for delay, seconds, f in ((0, 0.12, 480), (0.16, 0.2, 720)):  # rib-bit
            n = length(seconds)
            pulses = np.clip(tone(58.0, n), 0, 1) ** 2
            place(out, (tone(f * pitch, n) + 0.6 * tone(2.3 * f * pitch, n)) * pulses * swell(n), at + delay)
    return out


def crickets(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 0.55 / rate, 0.05):
        for k in range(4):
            n = length(0.03)
            place(out, tone(4500 * pitch, n) * swell(n), at + 0.05 * k)
    return out + 0.06 * tone(4150 * pitch) * np.clip(tone(28.0), 0, 1)


def bee(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    f = pitch * 215 * (1 + 0.08 * wander(rng, 4))
    return buzz(f, harmonics=25, tilt=0.8) * (0.7 + 0.3 * wander(rng, 5)) + 0.1 * noise(rng, 200, 3000)


def mosquito(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    f = pitch * 640 * (1 + 0.08 * wander(rng, 2))
    return buzz(f, harmonics=7, tilt=1.1) * (0.5 + 0.5 * wander(rng, 2)) ** 2


def snake(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at = np.zeros(SAMPLES), rng.uniform(0.0, 0.2)
    while at < SECONDS:
        n = length(rng.uniform(0.7, 1.1))
        place(out, noise(rng, 3800, 7800, n) * swell(n, 0.15, 0.5), at)
        at += n / RATE + 0.2
    return out


def horse(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 0.5 / rate, 0.02):
        for k, f in enumerate((720, 560, 640)):  # a gallop's three beats
            hit = struck([(f * pitch, 1, 0.018), (2.3 * f * pitch, 0.5, 0.01)], 0.12)
            place(out, hit + 0.2 * noise(rng, 500, 4000, len(hit)) * decay(0.004, len(hit)), at + 0.115 * k / rate, (0.8, 0.7, 1.0)[k])
    return out


# ---- toys -----------------------------------------------------------------------------------------------------------------------------


def boing(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for at in beats(rng, 1.3 / rate, 0.05):
        n = length(1.1)
        t = np.arange(n) / RATE
        f = pitch * 210 * (1 + 0.35 * np.exp(-t / 0.4) * np.sin(2 * np.pi * 11 * t) + 0.3 * t)
        place(out, buzz(f, n, 14, 0.8) * decay(0.35, n), at)
    return out


def slide_whistle(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at, up = np.zeros(SAMPLES), rng.uniform(0.02, 0.2), rng.uniform() < 0.5
    while at < SECONDS - 0.3:
        n = length(0.85 / rate)
        sweep = np.geomspace(500, 1900, n) if up else np.geomspace(1900, 500, n)
        place(out, (tone(pitch * sweep, n) + 0.1 * tone(2 * pitch * sweep, n) + 0.03 * noise(rng, 500, 4000, n)) * swell(n, 0.08, 0.1), at)
        at, up = at + 0.95 / rate, not up
    return out


def bouncing_ball(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out, at, gap, gain = np.zeros(SAMPLES), rng.uniform(0.05, 0.2), 0.5 / rate, 1.0
    while at < SECONDS and gap > 0.02:
        hit = struck([(950 * pitch, 1, 0.015), (2100 * pitch, 0.6, 0.008)], 0.1)
        place(out, hit + 0.15 * noise(rng, 800, 5000, len(hit)) * decay(0.003, len(hit)), at, gain)
        at, gap, gain = at + gap, 0.82 * gap, 0.86 * gain
    return out


def keys(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    out = np.zeros(SAMPLES)
    for shake in beats(rng, 0.32 / rate, 0.1):
        for _ in range(6):
            f = pitch * rng.uniform(3000, 5200)
            place(out, struck([(f, 1, 0.03), (1.37 * f, 0.6, 0.02)], 0.15), shake + rng.exponential(0.05), rng.uniform(0.3, 1))
    return out


def silence(rng: Rng, pitch: float, rate: float, force: float) -> Array:
    return 1e-4 * rng.uniform() * noise(rng)


Recipe = Callable[[Rng, float, float, float], Array]
