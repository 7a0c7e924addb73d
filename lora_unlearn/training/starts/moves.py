"""What the optimizer does with a start's directions."""

from __future__ import annotations

from typing import Literal

Moves = Literal["fixed", "plain", "scaled"]
"""Nothing; a step at the learning rate; a step that is a share of their own size."""
