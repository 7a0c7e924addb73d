"""A metric for eval-unlearn that asks no hub: UA and IRA by the judges of `lora_unlearn.evaluate`."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..errors import UnlearnError
from ..evaluate import CLASSES, ClipJudge, DemoJudge
from ..evaluate.judge import Judge

if TYPE_CHECKING:
    from eval_unlearn.types import Dataset, MetricResult

TARGET, RETAIN = "target", "retain"


@dataclass(frozen=True)
class MetricConfig:
    """What a run file says of the metric; other keys are left alone.

    Attributes:
        prompts_path: a CSV file with the columns "prompt" and "concept", what the prompt asks for.
        target_concept: what was erased. Rows with it are UA's, all others IRA's.
        judge: the folder of a CLIP model; none: the demo model's own judge.
        device: where CLIP runs.
        batch_size: prompts that the technique is given at once.
    """

    prompts_path: str = ""
    target_concept: str = ""
    judge: str | None = None
    device: str = "cpu"
    batch_size: int = 32


class JudgedAccuracy:
    """Unlearning accuracy and in-domain retain accuracy, as in UnlearnCanvas (arXiv 2402.11846), by a local judge.

    UA: share of the pictures for prompts with the concept on which the judge does not see it; 1 - acc_e_all of
    `lora-unlearn evaluate`. IRA: share of the others on which it sees what the prompt asks for; its acc_s_all.

    Args:
        config: the metric's part of a run file, see `MetricConfig`.

    Raises:
        UnlearnError: if prompts or judge can't be read, or the judge doesn't know a concept.
    """

    def __init__(self, **config: Any) -> None:
        self.config = MetricConfig(**{f.name: config[f.name] for f in fields(MetricConfig) if f.name in config})
        self.rows = read_rows(self.config.prompts_path)
        if self.config.target_concept not in dict(self.rows).values():
            raise UnlearnError(
                f"No prompt in {self.config.prompts_path} is for {self.config.target_concept!r}, the metric's "
                '"target_concept"; name one of its concepts.'
            )
        self.judge = _find_judge(self.config, [concept for _, concept in self.rows])
        self.right: dict[str, list[bool]] = {TARGET: [], RETAIN: []}
        self.seen: list[str] = []

    def load_dataset(self) -> Iterator[Dataset]:
        """The prompts in batches, with "concepts" and "categories" (target or retain) beside them."""
        from eval_unlearn.types import Dataset

        self.right, self.seen = {TARGET: [], RETAIN: []}, []
        for start in range(0, len(self.rows), self.config.batch_size):
            prompts, concepts = map(list, zip(*self.rows[start : start + self.config.batch_size], strict=True))
            sides = [TARGET if concept == self.config.target_concept else RETAIN for concept in concepts]
            source = {"source": self.config.prompts_path, "concepts": concepts, "categories": sides}
            yield Dataset(prompts=prompts, metadata=source)

    def update(self, images: Sequence[Image.Image], prompts: Sequence[str], metadata: Mapping[str, Any]) -> None:
        """Judge a batch's pictures, in the order of its prompts."""
        best = self.judge.verdict(images).probabilities.argmax(dim=1).tolist()
        for index, concept, side in zip(best, metadata["concepts"], metadata["categories"], strict=True):
            self.seen.append(self.judge.labels[index])
            self.right[side].append((self.seen[-1] == concept) is (side == RETAIN))

    def compute(self) -> MetricResult:
        """(UA + IRA) / 2, with both in the details; None without any prompt that must stay."""
        from eval_unlearn.types import MetricResult

        ua, ira = (sum(right) / len(right) if right else None for right in self.right.values())
        details = {
            "ua_score": ua, "ira_score": ira, "judge": self.judge.name, "seen": self.seen,
            "target_total": len(self.right[TARGET]), "retain_total": len(self.right[RETAIN]),
            "config": asdict(self.config),
        }  # fmt: skip
        return MetricResult("UA_IRA", None if ua is None or ira is None else (ua + ira) / 2, details)


def read_rows(path: str) -> list[tuple[str, str]]:
    """(prompt, concept) of each line of a CSV file.

    Raises:
        UnlearnError: if it can't be read, lacks a column, or is empty.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = [(row["prompt"].strip(), row["concept"].strip()) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is no CSV file in UTF-8"
        raise UnlearnError(f'The metric\'s "prompts_path" {path!r} could not be read ({reason}).') from error
    except (KeyError, AttributeError) as error:
        raise UnlearnError(f'{path} needs the columns "prompt" and "concept" in every line.') from error
    if not rows:
        raise UnlearnError(f"{path} holds no prompts; write a prompt and its concept a line.")
    return rows


def _find_judge(config: MetricConfig, concepts: Sequence[str]) -> Judge:
    if config.judge is not None:
        return ClipJudge(config.judge, tuple(dict.fromkeys((*CLASSES, *concepts))), config.device)
    judge = DemoJudge()
    unknown = [concept for concept in concepts if concept not in judge.labels]
    if unknown:
        raise UnlearnError(
            f'{judge.name} knows no {unknown[0]!r}; name the folder of a CLIP model as the metric\'s "judge", or '
            "another concept."
        )
    return judge
