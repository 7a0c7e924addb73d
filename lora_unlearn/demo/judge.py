"""The judge: a small CNN that names the object and the style on a picture of the demo model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import BatchNorm2d, Conv2d, Linear, ReLU

from ..errors import UnlearnError
from ..files import read_safetensors
from .words import STYLES, THINGS

LABELS = (*THINGS, "other")
"""What the judge can say of a picture; "other" stands for everything that the model was never shown."""
WEIGHTS = Path(__file__).parent / "weights" / "judge.safetensors"


class Judge(nn.Module):
    """Pictures (B,3,H,W) in 0..1, H and W at least 64, to object, presence and style logits."""

    def __init__(self, things: Iterable[str] = THINGS, width: int = 32) -> None:
        super().__init__()
        self.labels = (*things, LABELS[-1])
        widths = (3, width, 2 * width, 3 * width, 4 * width)
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [
                Conv2d(before, after, 3, padding=1),
                BatchNorm2d(after),
                ReLU(),
                Conv2d(after, after, 3, padding=1, stride=2),
                BatchNorm2d(after),
                ReLU(),
            ]
        self.body = nn.Sequential(*layers)
        self.thing = Linear(4 * width, len(self.labels))
        self.presence = Linear(8 * width, len(self.labels) - 1)
        self.style = Linear(4 * width, len(STYLES))

    def features(self, pictures: Tensor) -> Tensor:
        """The last feature map, (B,128,4,4)."""
        return self.body(F.adaptive_avg_pool2d(pictures, 64) - 0.5)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Logits: `thing` (B,N+1, one of `labels`), `presence` (B,N, each by itself), `style` (B,5)."""
        features = self.features(pictures)
        mean = features.mean(dim=(2, 3))
        both = torch.cat([mean, features.amax(dim=(2, 3))], dim=1)
        return {"thing": self.thing(mean), "presence": self.presence(both), "style": self.style(mean)}


def load_judge(path: Path = WEIGHTS, things: Iterable[str] = THINGS) -> Judge:
    """Load the judge that ships with the package (or another file of the same kind, of the `things` it knows).

    Raises:
        UnlearnError: if the file is missing, or does not hold exactly the judge's weights.
    """
    if not path.is_file():
        raise UnlearnError(f"The judge's weights are missing ({path}); install the package again.")
    judge, (tensors, _) = Judge(things), read_safetensors(path, check_finite=True)
    expected = {name: value.shape for name, value in judge.state_dict().items() if value.is_floating_point()}
    if {name: value.shape for name, value in tensors.items()} != expected:
        raise UnlearnError(f"{path} does not hold the judge's weights; install the package again.")
    judge.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=False)
    return judge.eval()
