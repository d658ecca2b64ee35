"""What recipes of sounds are made of: tones, noise, voices, envelopes. One second is RATE samples, a sound has SAMPLES."""

from collections.abc import Callable, Sequence

import numpy as np

RATE = 16_000
SECONDS = 2.56
SAMPLES = 40_960
TIME = np.arange(SAMPLES) / RATE

Array = np.ndarray
Rng = np.random.Generator

# (rng, pitch, rate, force) -> float [SAMPLES] at any level: pitch and rate are factors around 1, force is 0 (weak) to 1 (strong).
Recipe = Callable[[Rng, float, float, float], Array]


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
    begin = max(0, int(at * RATE))
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
