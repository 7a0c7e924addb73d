"""Ways to tell from text whether a prompt asks for a concept: `python -m benchmarks.detectors --captions FILE`.

All see the same prompts of the bank and the same sentences with the concept, and get the same conformal threshold; then
they are asked for captions of COCO. `--kind` names some, `--held-out` takes the concepts that nothing was chosen on.
Beside the project's own (Fisher's direction, strongest token) stand variants of it and the gates of other methods.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import common
from benchmarks.encoders import FOLDERS, TextOnly
from benchmarks.language import CHOSEN, HELD_OUT, LEAST, grouped, summed
from lora_unlearn.bank import Parts, load_bank
from lora_unlearn.bounds import FALSE_OPEN_RATE, conformal_threshold
from lora_unlearn.concept import Concept
from lora_unlearn.denoiser import Conditioning
from lora_unlearn.directions import RIDGE, fisher
from lora_unlearn.moments import Moments
from lora_unlearn.sentences import sentences

Texts = list[Tensor]
"""The token states of some prompts, each (T,D)."""
Score = Callable[[Texts], Tensor]


def strongest(texts: Texts, directions: Tensor) -> Tensor:
    """The largest response of any token to any of some directions (K,D), per prompt."""
    best = (torch.cat(texts) @ directions.T).amax(1)
    return torch.stack([part.max() for part in best.split([len(text) for text in texts])])


def moments(texts: Texts) -> Moments:
    """Of all tokens."""
    return Moments().add(Conditioning({"text": torch.cat(texts)[None]}))


def one_direction(asked: Texts, others: Texts, extra: Extra) -> Score:
    """The project's own: Fisher's direction."""
    direction = fisher(moments(asked), moments(others))
    return lambda texts: strongest(texts, direction[None])


def by_component(asked: Texts, others: Texts, extra: Extra) -> Score:
    """The same, with each component's own variance as ridge, so that no unit matters."""
    target, rest = moments(asked), moments(others)
    spread = rest.covariance
    spread = spread + RIDGE * torch.diag(spread.diagonal())
    direction = torch.linalg.solve(spread, target.mean - rest.mean)
    return lambda texts: strongest(texts, direction[None])


def several_directions(asked: Texts, others: Texts, extra: Extra, count: int = 3) -> Score:
    """Fisher's direction for each of three clusters of sentences, by their tokens' mean."""
    means = torch.stack([text.mean(0) for text in asked])
    centres = means[torch.linspace(0, len(means) - 1, count).long()]
    for _ in range(20):
        nearest = torch.cdist(means, centres).argmin(1)
        centres = torch.stack(
            [means[nearest == k].mean(0) if (nearest == k).any() else centres[k] for k in range(count)]
        )
    rest = moments(others)
    groups = [[text for text, own in zip(asked, nearest, strict=True) if own == k] for k in range(count)]
    directions = torch.stack([fisher(moments(group), rest) for group in groups if group])
    return lambda texts: strongest(texts, directions)


def logistic(asked: Texts, others: Texts, extra: Extra) -> Score:
    """A penalised logistic fit of single tokens, those of the sentences against all others."""
    tokens = torch.cat([*asked, *others])
    labels = torch.cat([torch.ones(sum(map(len, asked))), torch.zeros(sum(map(len, others)))])
    direction = fitted(tokens, labels, moments(others), lambda responses: responses[:, 0])
    return lambda texts: strongest(texts, direction)


def multiple_instance(asked: Texts, others: Texts, extra: Extra, count: int = 1) -> Score:
    """A penalised logistic fit of prompts by their strongest token (smoothed while it is fitted)."""
    directions = multiple_directions(asked, others, count)
    return lambda texts: strongest(texts, directions)


def multiple_directions(asked: Texts, others: Texts, count: int = 1) -> Tensor:
    """The directions of `multiple_instance`, (count,D)."""
    texts = [*asked, *others]
    labels = torch.cat([torch.ones(len(asked)), torch.zeros(len(others))])
    prompt = torch.repeat_interleave(torch.arange(len(texts)), torch.tensor([len(text) for text in texts]))

    def pooled(responses: Tensor) -> Tensor:
        top = torch.full((len(texts),), -torch.inf).index_reduce(0, prompt, responses.detach().amax(1), "amax")
        total = torch.zeros(len(texts)).index_add(0, prompt, (responses - top[prompt, None]).exp().sum(1))
        return total.log() + top

    return fitted(torch.cat(texts), labels, moments(others), pooled, count)


def fitted(
    tokens: Tensor,
    labels: Tensor,
    rest: Moments,
    pool: Callable[[Tensor], Tensor],
    count: int = 1,
    penalty: float = 0.1,
) -> Tensor:
    """Directions (count,D) of a logistic fit in whitened tokens, both labels weighing the same."""
    spread = rest.covariance
    values, vectors = torch.linalg.eigh(spread + 0.03 * spread.diagonal().mean() * torch.eye(len(spread)))
    whiten = vectors @ torch.diag(values**-0.5) @ vectors.T
    white = (tokens - rest.mean) @ whiten
    weight = torch.where(labels > 0, 0.5 / labels.sum(), 0.5 / (1 - labels).sum())
    directions = (
        0.01 * torch.randn(count, white.shape[1], generator=torch.Generator().manual_seed(0))
    ).requires_grad_()
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([directions, bias], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = pool(white @ directions.T) + bias
        losses = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        found = (weight * losses).sum() + penalty * directions.square().sum()
        found.backward()
        return found

    optimizer.step(loss)
    return directions.detach() @ whiten


def values_of_layers(asked: Texts, others: Texts, extra: Extra) -> Score:
    """Fisher's direction among what the network's keys and values make of the tokens (language relative, minilm)."""
    factor = torch.linalg.cholesky(extra.metric + 1e-4 * extra.metric.diagonal().mean() * torch.eye(len(extra.metric)))
    change = [[text @ factor for text in group] for group in (asked, others)]
    score = one_direction(*change, extra)
    return lambda texts: score([text @ factor for text in texts])


def summed_directions(asked: Texts, others: Texts, extra: Extra) -> Score:
    """Fisher's direction and that of `multiple_instance`, each in units of the ordinary tokens' spread, added."""
    rest = moments(others)
    directions = [fisher(moments(asked), rest), multiple_directions(asked, others)[0]]
    directions = [direction / (direction @ rest.covariance @ direction).sqrt() for direction in directions]
    return lambda texts: strongest(texts, sum(directions)[None])


def spm(asked: Texts, others: Texts, extra: Extra) -> Score:
    """SPM's facilitated transport (arXiv 2312.16145), the cosine of whole padded prompts; its share of words in common
    is left out, as a prompt's words alone are no matter of an encoder."""
    longest = 32
    flat = torch.nn.functional.pad(extra.concept, (0, 0, 0, longest - len(extra.concept))).flatten()

    def score(texts: Texts) -> Tensor:
        rows = [torch.nn.functional.pad(t[:longest], (0, 0, 0, longest - len(t[:longest]))).flatten() for t in texts]
        return torch.stack([torch.nn.functional.cosine_similarity(row, flat, dim=0) for row in rows])

    return score


def semantic_surgery(asked: Texts, others: Texts, extra: Extra) -> Score:
    """Semantic Surgery's (arXiv 2510.22851): the cosine of a prompt with the concept less the empty one, by means."""
    direction = extra.concept.mean(0) - extra.empty.mean(0)
    return lambda texts: torch.stack(
        [torch.nn.functional.cosine_similarity(text.mean(0), direction, dim=0) for text in texts]
    )


def three_instances(asked: Texts, others: Texts, extra: Extra) -> Score:
    """As `multiple_instance`, with three directions."""
    return multiple_instance(asked, others, extra, count=3)


DETECTORS: dict[str, Callable[[Texts, Texts, Any], Score]] = {
    "one direction (Fisher)": one_direction,
    "ridge by component": by_component,
    "three directions": several_directions,
    "keys and values": values_of_layers,
    "logistic, tokens": logistic,
    "multiple instance": multiple_instance,
    "multiple instance, three": three_instances,
    "Fisher and multiple instance": summed_directions,
    "SPM, cosine": spm,
    "Semantic Surgery": semantic_surgery,
}


class Extra:
    """What some detectors want beside the texts.

    Attributes:
        concept, empty: token states (T,D) of the concept's name and of the empty prompt.
        metric: the sum of W^T W over the language relative's keys and values, (D,D).
    """

    def __init__(self, read: Callable[[Sequence[str]], Texts], metric: Tensor | None, name: str) -> None:
        (self.concept,), (self.empty,) = read([name]), read([""])
        self.metric = metric


def main() -> None:
    """A table: detectors, and their open rates over all concepts."""
    options = parse()
    denoiser, metric = TextOnly(options.encoder), relative_metric() if options.encoder == "minilm" else None
    captions = options.captions.read_text(encoding="utf-8").splitlines()
    words = HELD_OUT if options.held_out else CHOSEN
    kinds = options.kind or [kind for kind in DETECTORS if metric is not None or kind != "keys and values"]
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for name in options.concepts or words:
        for kind, row in rates(denoiser, metric, name, captions, words[name], kinds).items():
            found[kind].append(row)
            print(kind, row, flush=True)
    rows = []
    for kind, of_kind in found.items():
        *_, mean, worst = summed(of_kind)
        shares = ("own word", "other words", "swapped", "without")
        bad = {f"worst {share}": worst[share] for share in ("own word", "without")}
        rows.append({"detector": kind, **{share: mean[share] for share in shares}, **bad})
    common.finish(options.out, f"detectors_{options.encoder}{'_held_out' if options.held_out else ''}", rows)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", choices=sorted(FOLDERS), default="minilm")
    parser.add_argument("--captions", type=Path, required=True, help="one caption a line")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--kind", action="append", choices=list(DETECTORS))
    parser.add_argument("--concepts", nargs="*")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    return parser.parse_args()


def relative_metric() -> Tensor:
    """How much the language relative's keys and values make of each direction, (D,D)."""
    from benchmarks.relative.model import load_language_relative
    from lora_unlearn import denoiser_for

    weights = [target.weight.detach() for target in denoiser_for(load_language_relative()).linears("cross_kv").values()]
    return torch.stack([weight.T @ weight for weight in weights]).sum(0)


def rates(
    denoiser: TextOnly,
    metric: Tensor | None,
    name: str,
    captions: Sequence[str],
    words: tuple[str, str, str],
    kinds: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """The open rates of some detectors for one concept."""

    def read(prompts: Sequence[str]) -> Texts:
        denoiser.encode(prompts)
        return [denoiser.known[prompt] for prompt in prompts]

    concept = Concept(name)
    parts = Parts.of(load_bank("sd1")).without(concept)
    asked = sentences(concept, parts.shape)[0::2]
    groups = grouped(name, captions, words)
    extra, found = Extra(read, metric, name), {}
    for kind in kinds:
        with torch.enable_grad():
            score = DETECTORS[kind](read(asked), read([*parts.shape, ""]), extra)
        threshold = conformal_threshold(score(read(parts.calibrate)), FALSE_OPEN_RATE)
        shares = {
            group: float((score(read(prompts)) >= threshold).float().mean()) if len(prompts) >= LEAST else None
            for group, prompts in groups.items()
        }
        found[kind] = {"concept": name, **shares}
    return found


if __name__ == "__main__":
    main()
