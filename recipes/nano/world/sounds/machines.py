"""Recipes of alarms, bells, machines, tools and toys (see blocks.Recipe)."""

import numpy as np

from recipes.nano.world.sounds.blocks import (
    RATE,
    SAMPLES,
    SECONDS,
    TIME,
    Array,
    Rng,
    beats,
    buzz,
    decay,
    length,
    noise,
    place,
    struck,
    swell,
    tone,
    wander,
)

# ---- alarms, bells, phones, games --------------------


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


# ---- machines and tools --------------------


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


# ---- toys and the rest --------------------


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
