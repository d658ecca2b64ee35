"""Recipes of what people do: hearts, steps, voices (see blocks.Recipe). Speech is spoken by espeak-ng."""

import io
import subprocess

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly

from nextgpt_core.errors import CheckpointMissing
from recipes.nano.world.sounds.blocks import (
    RATE,
    SAMPLES,
    SECONDS,
    Array,
    Rng,
    beats,
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
