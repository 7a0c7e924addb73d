"""Judges: the demo's CNN, and CLIP with the published recipe, on tiny random weights."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

pytest.importorskip("transformers")

from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from lora_unlearn.demo.judge import LABELS, Judge, load_judge
from lora_unlearn.demo.networks import new_tokenizer
from lora_unlearn.demo.words import STYLES
from lora_unlearn.errors import UnlearnError
from lora_unlearn.evaluate import ClipJudge, DemoJudge

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def pictures(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [
        Image.fromarray(torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8).numpy())
        for width, height in sizes
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("clip")
    text = {**SMALL, "vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    config = CLIPConfig(text_config=text, vision_config={**SMALL, "image_size": 32, "patch_size": 8}, projection_dim=16)
    CLIPModel(config).save_pretrained(path)
    new_tokenizer().save_pretrained(path)
    return path


def test_clip_is_judged_as_published(folder):
    """Softmax of 100 cos over "a photo of the y", with CLIP's own preparation of pictures of any shape."""
    labels, images = ("cat", "dog", "red apple"), pictures((32, 32), (96, 64), (50, 71))
    found = ClipJudge(folder, labels).verdict(images).probabilities
    model, tokenizer = CLIPModel.from_pretrained(folder).eval(), new_tokenizer()
    prepare = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    words = tokenizer([f"a photo of the {label}" for label in labels], padding=True, return_tensors="pt")
    with torch.no_grad():
        out = model(**words, pixel_values=prepare(images, return_tensors="pt").pixel_values)
    cosines = torch.nn.functional.cosine_similarity(out.image_embeds[:, None], out.text_embeds[None], dim=-1)
    torch.testing.assert_close(found, (100 * cosines).softmax(dim=1), rtol=1e-2, atol=1e-4)


def test_clip_leaves_presence_and_style_open(folder):
    verdict = ClipJudge(folder).verdict(pictures((40, 40)))
    assert verdict.probabilities.shape == (1, 10)
    assert verdict.presence is None
    assert verdict.style is None


def test_a_folder_without_clip_is_one_sentence(tmp_path):
    with pytest.raises(UnlearnError, match="holds no CLIP model"):
        ClipJudge(tmp_path)


def test_the_demo_judge_answers_for_every_label():
    torch.manual_seed(0)
    verdict = DemoJudge(Judge()).verdict(pictures((128, 128), (64, 96)))
    assert verdict.probabilities.shape == verdict.presence.shape == (2, len(LABELS))
    torch.testing.assert_close(verdict.probabilities.sum(dim=1), torch.ones(2))
    assert verdict.presence[:, LABELS.index("other")].tolist() == [0.0, 0.0]
    assert all(0 <= style < len(STYLES) for style in verdict.style.tolist())


def test_a_picture_is_judged_alike_in_any_company():
    torch.manual_seed(0)
    judge, images = DemoJudge(Judge()), pictures((128, 128), (128, 128), (128, 128))
    alone = torch.cat([judge.verdict([image]).probabilities for image in images])
    torch.testing.assert_close(judge.verdict(images).probabilities, alone)


def test_weights_come_back_from_their_file(tmp_path):
    torch.manual_seed(0)
    judge, path = Judge().eval(), tmp_path / "judge.safetensors"
    save_file({name: value.half() for name, value in judge.state_dict().items() if value.is_floating_point()}, path)
    images = pictures((64, 64))
    found = DemoJudge(load_judge(path)).verdict(images).probabilities
    torch.testing.assert_close(found, DemoJudge(judge).verdict(images).probabilities, rtol=0, atol=1e-2)


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_other_weights_are_refused(tmp_path, change):
    path = tmp_path / "judge.safetensors"
    tensors = {name: value for name, value in Judge().state_dict().items() if value.is_floating_point()}
    if change == "missing":
        del tensors["style.bias"]
    else:
        tensors["style.bias"] = torch.zeros(9)
    save_file(tensors, path)
    with pytest.raises(UnlearnError, match="does not hold the judge's weights"):
        load_judge(path)


def test_missing_weights_of_the_judge_are_one_sentence(tmp_path):
    with pytest.raises(UnlearnError, match="judge's weights are missing"):
        load_judge(tmp_path / "judge.safetensors")
