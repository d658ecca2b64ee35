"""How the picture tower tells photographs from drawings: a logistic regression on the trunk's features.

Photographs come from public packages and show nothing of nano's world, so that those of the evaluation stay unseen; many are things cut
out, on white ground like the drawings.
"""

import logging

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nextgpt_core.encoders.nano_image import picture_inputs
from nextgpt_core.modalities.image import IMAGE
from recipes.nano.encoders.trunk import trunk
from recipes.nano.world.photos import other_photos
from recipes.nano.world.pictures import render, sample_picture
from recipes.nano.world.sprites import UNDERSTANDING_STYLES, hexcodes
from recipes.nano.world.things import things

log = logging.getLogger(__name__)

PENALTY = 0.01  # the best of 0.0001 to 0.1 in a fivefold cross-validation
_CANONICAL = (1.0, 0.2)  # a plain drawing of each thing, and one in a scene
_RENDER_PIXELS = 192


def photograph_weights() -> Tensor:
    """Weight and bias, [FEATURES + 1], fitted to a few photographs and two drawings of each thing (a minute)."""
    photos, drawings = photo_features(), drawing_features()
    weights = fit(photos, drawings)
    right = [100 * float((told > 0).float().mean()) for told in (score(weights, photos), -score(weights, drawings))]
    log.info("told from each other: %.1f %% of %d photographs, %.1f %% of %d drawings", right[0], len(photos), right[1], len(drawings))
    return weights


def photo_features() -> Tensor:
    """The photographs that are no part of the evaluation through the trunk, [n, FEATURES]."""
    return _through_trunk([IMAGE.load(photo.file) for photo in other_photos()])


def drawing_features(*, seed: int = 5) -> Tensor:
    """Two drawings of each thing in a training style through the trunk, [n, FEATURES]."""
    rng = np.random.default_rng(seed)
    scenes = []
    for thing in things():
        styles = [style for style in UNDERSTANDING_STYLES if hexcodes(thing, style)]
        scenes += [sample_picture(rng, thing=thing, styles=(str(rng.choice(styles)),), canonical=share) for share in _CANONICAL]
    return _through_trunk([render(scene, _RENDER_PIXELS) for scene in scenes])


def fit(photos: Tensor, drawings: Tensor, *, penalty: float = PENALTY) -> Tensor:
    """[n, d] and [m, d] -> weight and bias, [d + 1], of a logistic regression in which both kinds count the same."""
    features = torch.cat([photos, drawings])
    wanted = torch.cat([torch.ones(len(photos)), torch.zeros(len(drawings))])
    counts = torch.cat([torch.full((len(kind),), 0.5 / len(kind)) for kind in (photos, drawings)])
    mean, spread = features.mean(0), features.std(0) + 1e-3
    even = (features - mean) / spread
    weights = torch.zeros(features.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = F.binary_cross_entropy_with_logits(score(weights, even), wanted, weight=counts, reduction="sum")
        found = found + penalty * weights[:-1].square().sum()
        found.backward()
        return found

    optimizer.step(loss)
    scaled = weights.detach()[:-1] / spread
    return torch.cat([scaled, (weights.detach()[-1] - scaled @ mean)[None]])


def score(weights: Tensor, features: Tensor) -> Tensor:
    """[d + 1], [n, d] -> the logarithm of the odds for a photograph, [n]."""
    return features @ weights[:-1] + weights[-1]


@torch.inference_mode()
def _through_trunk(pictures: list[np.ndarray]) -> Tensor:
    """uint8 [H, W, 3] each -> [n, FEATURES]."""
    return torch.cat([trunk()(picture_inputs(picture)[0][None]) for picture in pictures])
