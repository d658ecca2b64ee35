"""Recipes of weather, water, fire and animals (see blocks.Recipe)."""

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
    voice,
    wander,
)

# ---- weather, water, fire --------------------


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


# ---- animals --------------------


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
