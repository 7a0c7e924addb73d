"""DoCo's concept domain correction: a critic must not tell the concept's predictions from the reference's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Conv2d

from ...lora import Lora
from ...options import option
from ..scene import Scene
from ..states import States
from .goal import asked


@dataclass(frozen=True)
class Domain:
    """weight * BCE(critic(e_lora(x, c)), "reference"), while the critic learns the opposite (arXiv 2405.15304).

    The critic looks at patches of predictions, and takes one step of Adam on every batch before the adapter does.
    """

    weight: float = option(0.1, 0, 1e6, "how much the critic's opinion counts")
    width: int = option(32, 4, 512, "channels of the critic")
    critic_rate: float = option(1e-3, 1e-6, 1, "step size of the critic")

    def begin(self, scene: Scene) -> Callable[[Lora, States], Tensor]:
        """The loss of one training; the critic lives as long as it does."""
        critic: list[tuple[nn.Module, torch.optim.Optimizer]] = []

        def loss(lora: Lora, states: States) -> Tensor:
            if not critic:
                critic.append(self._critic(states.target, scene.settings.seed))
            network, optimizer = critic[0]
            shown = asked(scene, lora, states).float()
            _taught(network, optimizer, states.reference.float(), shown.detach())
            opinion = network(shown)
            return self.weight * F.binary_cross_entropy_with_logits(opinion, torch.zeros_like(opinion))

        return loss

    def evaluations(self) -> tuple[int, int]:
        """One with gradients."""
        return 0, 1

    def _critic(self, like: Tensor, seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = nn.Sequential(
                Conv2d(like.shape[1], self.width, 3, 2, 1),
                nn.LeakyReLU(0.2),
                Conv2d(self.width, self.width, 3, 1, 1),
                nn.LeakyReLU(0.2),
                Conv2d(self.width, 1, 3, 1, 1),
            )
        network = network.to(like.device)
        return network, torch.optim.Adam(network.parameters(), lr=self.critic_rate)


def _taught(network: nn.Module, optimizer: torch.optim.Optimizer, reference: Tensor, shown: Tensor) -> None:
    """One step of the critic: 0 for the reference's predictions, 1 for the adapted ones."""
    of_reference, of_shown = network(reference), network(shown)
    loss = F.binary_cross_entropy_with_logits(of_reference, torch.zeros_like(of_reference))
    loss = loss + F.binary_cross_entropy_with_logits(of_shown, torch.ones_like(of_shown))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
