"""MP4 by imageio's PyAV plugin."""

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
from imageio.plugins.pyav import PyAVPlugin

# One thread: the same bytes whatever the machine is. Small changes stay visible.
X264 = {"crf": "16", "threads": "1"}


class _Plugin(PyAVPlugin):
    """imageio has no word for an encoder's own options, whose defaults blur what small pictures show."""

    def init_video_stream(self, codec: str, **settings: Any) -> None:
        super().init_video_stream(codec, **settings)
        assert self._video_stream is not None
        self._video_stream.options = X264


def write_mp4(path: Path, frames: np.ndarray, *, fps: float, comment: str) -> None:
    """uint8 [T, H, W, 3] with even sides -> H.264."""
    with iio.imopen(path, "w", plugin=_Plugin, container="mp4", options={"movflags": "+faststart"}) as file:
        file.init_video_stream("libx264", fps=float(fps), pixel_format="yuv420p")
        file.container_metadata["comment"] = comment
        for pixels in frames:
            file.write_frame(pixels)
