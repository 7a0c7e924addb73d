"""Runs in vision-unlearning's interpreter: makes an eraser by its interface, and has its evaluator look at it.

    python vision_run.py FOLDER

Its own metric asks a hub for CLIP, so the demo model's judge stands in: how sure it is of the prompt's last word.
"""

from __future__ import annotations

import json
import sys

import torch
from vision_unlearning.evaluator import EvaluatorTextToImage
from vision_unlearning.metrics import MetricImageTextSimilarity
from vision_unlearning.unlearner import Unlearner

from lora_unlearn.demo.checkpoint import load_demo
from lora_unlearn.evaluate import DemoJudge
from lora_unlearn.plugins.unlearner import LoraUnlearner

JUDGE = DemoJudge()


class Judged(MetricImageTextSimilarity):
    def model_post_init(self, context=None):
        pass

    def score(self, image, prompt):
        verdict = JUDGE.verdict([image]).probabilities[0]
        return {"clip": float(verdict[JUDGE.labels.index(prompt.split()[-1])])}


torch.set_num_threads(1)
unlearner = LoraUnlearner(
    pretrained_model_name_or_path="demo", edit_concepts="cat", method="instant", output_dir=sys.argv[1], device="cpu"
)
trained = unlearner.train()
pipes = {"pipeline_original": load_demo(), "pipeline_unlearned": unlearner.get_pipeline("demo", sys.argv[1], "cpu")}
for pipe in pipes.values():
    pipe.set_progress_bar_config(disable=True)
torch.manual_seed(0)
evaluator = EvaluatorTextToImage(
    **pipes, pipeline_learned=None, prompts_forget=["a cat", "a photo of the cat"], prompts_retain=["a dog", "a ship"],
    metric_clip=Judged(metrics=[]), plot_show=False,
)  # fmt: skip
results, pictures = evaluator.evaluate()
sys.stdout.write(
    json.dumps(
        {
            "is_unlearner": isinstance(unlearner, Unlearner),
            "figures": {result.metric_name: result.metric_value for result in [*trained, *results]},
            "pictures": len(pictures),
        }
    )
)
