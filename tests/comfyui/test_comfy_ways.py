"""Erasers in everything else that a graph may do with a model: what stays as it was, and what the host makes of it.

The yardstick for an open gate is the host's own: the same graph without the eraser, whose positive prompt carries the
exported file as a LoRA hook. Hooks patch the weights for that prompt alone, which is what an eraser must amount to.
"""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from comfy_graphs import made_by

pytestmark = pytest.mark.comfyui

CAT, DOG = "a photo of a cat", "a photo of a dog"
STEPS, CFG = 4, 5.0


@pytest.fixture(scope="module")
def kit(host, pack, demo, cat):
    """Everything a way of drawing needs: nodes by name, conditions, the LoRA hook."""
    import comfy.hooks
    import folder_paths

    cat.save(f"{folder_paths.get_folder_paths('loras')[0]}/yardstick.safetensors")

    node = partial(made_by, host)

    def hooks(strength=1.0):
        return node("CreateHookLoraModelOnly", lora_name="yardstick.safetensors", strength_model=strength)

    def cond(text, hooked=False):
        encoded = node("CLIPTextEncode", clip=demo.clip, text=text)
        return comfy.hooks.set_hooks_for_conditioning(encoded, hooks()) if hooked else encoded

    def latent(side=16, count=1, seed=None):
        shape = (count, 4, side, side)
        values = (
            torch.zeros(shape) if seed is None else torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        )
        return {"samples": values}

    def sample(model, positive, negative=None, start=None, **more):
        words = {"seed": 3, "steps": STEPS, "cfg": CFG, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        negative = negative if negative is not None else cond("")
        start = start or latent()
        return node(
            "KSampler", **{**words, **more}, model=model, positive=positive, negative=negative, latent_image=start
        )

    def guided(model, guider):
        words = {
            "noise": node("RandomNoise", noise_seed=3),
            "sampler": node("KSamplerSelect", sampler_name="euler"),
            "sigmas": node("BasicScheduler", model=model, scheduler="normal", steps=STEPS, denoise=1.0),
        }
        return node("SamplerCustomAdvanced", guider=guider, latent_image=latent(), **words)

    return SimpleNamespace(**locals())


def img2img(kit, model, text, hooked):
    """From a picture, at low denoise: the run starts in the middle of the noise levels."""
    return kit.sample(model, kit.cond(text, hooked), start=kit.latent(seed=1), denoise=0.35)


def inpainting(kit, model, text, hooked):
    """A picture of which the left half stays."""
    mask = torch.zeros(1, 128, 128)
    mask[..., 64:] = 1
    start = kit.node("SetLatentNoiseMask", samples=kit.latent(seed=1), mask=mask)
    return kit.sample(model, kit.cond(text, hooked), start=start)


def second_pass(kit, model, text, hooked):
    """Small first, then larger at half denoise."""
    first = kit.sample(model, kit.cond(text, hooked), start=kit.latent(8))
    larger = kit.node("LatentUpscale", samples=first, upscale_method="bilinear", width=128, height=128, crop="disabled")
    return kit.sample(model, kit.cond(text, hooked), start=larger, denoise=0.5)


def masked_prompts(kit, model, text, hooked):
    """One prompt on the left, another on the right, by masks."""
    left, right = torch.zeros(1, 128, 128), torch.zeros(1, 128, 128)
    left[..., :64], right[..., 64:] = 1, 1
    options = {"strength": 1.0, "set_cond_area": "default"}
    one = kit.node("ConditioningSetMask", conditioning=kit.cond(text, hooked), mask=left, **options)
    other = kit.node("ConditioningSetMask", conditioning=kit.cond("a photo of a car"), mask=right, **options)
    return kit.sample(model, kit.node("ConditioningCombine", conditioning_1=one, conditioning_2=other))


def timed_prompts(kit, model, text, hooked):
    """One prompt in the first half of the run, another in the second."""
    early = kit.node("ConditioningSetTimestepRange", conditioning=kit.cond("a photo of a car"), start=0.0, end=0.5)
    late = kit.node("ConditioningSetTimestepRange", conditioning=kit.cond(text, hooked), start=0.5, end=1.0)
    return kit.sample(model, kit.node("ConditioningCombine", conditioning_1=early, conditioning_2=late))


def averaged_prompt(kit, model, text, hooked):
    """A blend of two prompts, in which the concept is by far the most."""
    blend = {
        "conditioning_to": kit.cond(text),
        "conditioning_from": kit.cond("a photo"),
        "conditioning_to_strength": 0.9,
    }
    blended = kit.node("ConditioningAverage", **blend)
    return kit.sample(model, kit.comfy.hooks.set_hooks_for_conditioning(blended, kit.hooks()) if hooked else blended)


def scheduled_lora(kit, model, text, hooked):
    """A LoRA that the user's own hooks switch on half way, on both prompts."""
    keyframes = kit.node("CreateHookKeyframe", strength_mult=0.0, start_percent=0.0)
    keyframes = kit.node("CreateHookKeyframe", strength_mult=1.0, start_percent=0.5, prev_hook_kf=keyframes)
    own = kit.node("SetHookKeyframes", hooks=kit.hooks(0.4), hook_kf=keyframes)
    both = own.clone_and_combine(kit.hooks()) if hooked else own
    positive = kit.comfy.hooks.set_hooks_for_conditioning(kit.cond(text), both)
    return kit.sample(model, positive, kit.comfy.hooks.set_hooks_for_conditioning(kit.cond(""), own))


def control_net(kit, model, text, hooked):
    """Under a ControlNet of the host's own class, tiny and random."""
    pair = {"positive": kit.cond(text, hooked), "negative": kit.cond("")}
    strengths = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    picture = torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(5))
    kind = kit.host.NODE_CLASS_MAPPINGS["ControlNetApplyAdvanced"]()
    made = kind.apply_controlnet(**pair, control_net=tiny_control_net(kit), image=picture, **strengths)
    return kit.sample(model, *made[:2])


def tiny_control_net(kit):
    """A ControlNet for the demo's network."""
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops
    from comfy_tiny import _filled

    config = dict(kit.demo.model.model.model_config.unet_config)
    for name in ("out_channels", "transformer_depth_output", "disable_unet_model_creation", "device", "dtype"):
        config.pop(name, None)
    network = comfy.cldm.cldm.ControlNet(hint_channels=3, operations=comfy.ops.disable_weight_init, **config)
    _filled(network)
    for name, value in network.named_parameters():
        if "zero_convs" in name or "middle_block_out" in name:
            value *= 0.3
    return comfy.controlnet.ControlNet(network, load_device=torch.device("cpu"))


def perp_neg(kit, model, text, hooked):
    """The perpendicular negative prompt's guider, with three conditions."""
    conds = {"positive": kit.cond(text, hooked), "negative": kit.cond("a car"), "empty_conditioning": kit.cond("")}
    return kit.guided(model, kit.node("PerpNegGuider", model=model, **conds, cfg=CFG, neg_scale=1.0))


def dual_cfg(kit, model, text, hooked):
    """Two positive prompts, guided one after the other."""
    conds = {"cond1": kit.cond(text, hooked), "cond2": kit.cond("a photo of a car"), "negative": kit.cond("")}
    scales = {"cfg_conds": 4.0, "cfg_cond2_negative": 3.0, "style": "regular"}
    return kit.guided(model, kit.node("DualCFGGuider", model=model, **conds, **scales))


def cfg_guider(kit, model, text, hooked):
    """The plain guider of the custom sampling nodes."""
    conds = {"positive": kit.cond(text, hooked), "negative": kit.cond("")}
    return kit.guided(model, kit.node("CFGGuider", model=model, **conds, cfg=CFG))


def basic_guider(kit, model, text, hooked):
    """Without any negative prompt."""
    return kit.guided(model, kit.node("BasicGuider", model=model, conditioning=kit.cond(text, hooked)))


PATCHES = {
    "RescaleCFG": {"multiplier": 0.7},
    "PerturbedAttentionGuidance": {"scale": 3.0},
    "SelfAttentionGuidance": {"scale": 0.5, "blur_sigma": 2.0},
    "FreeU_V2": {"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2},
    "APG": {"eta": 1.0, "norm_threshold": 5.0, "momentum": 0.0},
    "TCFG": {},
    "Mahiro": {},
    "CFGZeroStar": {},
    "Epsilon Scaling": {"scaling_factor": 1.005},
    "TomePatchModel": {"ratio": 0.3},
    "ModelSamplingDiscrete": {"sampling": "lcm", "zsnr": False},
    "LazyCache": {"reuse_threshold": 0.0, "start_percent": 0.1, "end_percent": 0.9, "verbose": False},
}
"""Nodes that change how a model is sampled, with their settings."""


def patched(name, after):
    """A way of drawing with one of those nodes before or after the eraser."""

    def draw(kit, model, text, hooked):
        return kit.sample(kit.node(name, model=model, **PATCHES[name]) if after else model, kit.cond(text, hooked))

    return draw


WAYS = [
    *(img2img, inpainting, second_pass, masked_prompts, timed_prompts, averaged_prompt, scheduled_lora, control_net),
    *(perp_neg, dual_cfg, cfg_guider, basic_guider),
]


def check(kit, erased, draw, plain, under, changes=0.02):
    """Closed: the very same latents. Open: what the host makes of the LoRA on the positive prompts."""
    with torch.inference_mode():
        assert torch.equal(draw(kit, under, DOG, False)["samples"], draw(kit, plain, DOG, False)["samples"])
        base = draw(kit, plain, CAT, False)["samples"]
        ours, theirs = draw(kit, under, CAT, False)["samples"], draw(kit, plain, CAT, True)["samples"]
        assert torch.equal(draw(kit, plain, CAT, False)["samples"], base)
    assert (theirs - base).abs().max() > changes
    # A patched weight rounds otherwise than a residual beside it; two passes at CFG 5 make 1.5e-4 of that.
    assert (ours - theirs).abs().max() / theirs.abs().max() < 3e-4


@pytest.fixture(scope="module")
def under(pack, demo, cat):
    """A model under the eraser of cats."""
    guide, core = pack("nodes.guide"), pack("lora_unlearn")

    def make(model, strength=1.0):
        with torch.inference_mode():
            return guide.apply_erasers(model, [core.Eraser(cat, strength)])

    return make


@pytest.mark.parametrize("draw", WAYS, ids=lambda draw: draw.__name__)
def test_a_way_of_drawing(draw, kit, demo, under):
    check(kit, under, draw, demo.model, under(demo.model))


@pytest.mark.parametrize("name", PATCHES)
def test_a_node_that_changes_the_sampling_before_and_after_the_eraser(name, kit, host, demo, under):
    if name not in host.NODE_CLASS_MAPPINGS:
        pytest.skip(f"this ComfyUI has no node {name}")
    with torch.inference_mode():
        first = kit.node(name, model=demo.model, **PATCHES[name])
    check(kit, under, patched(name, False), first, under(first))
    check(kit, under, patched(name, True), demo.model, under(demo.model))


def test_a_compiled_model_decides_and_erases_as_any_other(kit, demo, under):
    """The wrapper of Torch Compile Model, with the backend that needs no compiler."""
    helpers = pytest.importorskip("comfy_api.torch_helpers")

    def compiled(model):
        clone = model.clone()
        helpers.set_torch_compile_wrapper(model=clone, backend="eager")
        return clone

    def draw(model, text):
        return kit.sample(model, kit.cond(text), steps=1)["samples"]

    with torch.inference_mode():
        model = compiled(under(demo.model))
        for text in (DOG, CAT, DOG):  # the switch is seen in both directions
            made, reference = draw(model, text), draw(under(demo.model), text)
            assert (made - reference).abs().max() / reference.abs().max() < 1e-5
        assert (draw(model, CAT) - draw(demo.model, CAT)).abs().max() > 0.1
        assert torch.equal(made, draw(compiled(demo.model), DOG))


def test_more_prompts_than_rows_get_a_sentence_and_closed_gates_do_not_mind(pack, kit, demo, under):
    """As nodes for attention couple do: further contexts beside the host's own, within the attention."""

    def couple(n, context, value, options):
        return torch.cat([n, n]), torch.cat([context, context]), torch.cat([value, value])

    def back(n, options):
        return n[: len(n) // 2]

    def coupled(model):
        model = model.clone()
        model.set_model_attn2_patch(couple)
        model.set_model_attn2_output_patch(back)
        return model

    with torch.inference_mode():
        one, two = coupled(demo.model), coupled(under(demo.model))
        plain, closed = (kit.sample(model, kit.cond(DOG))["samples"] for model in (one, two))
        assert torch.equal(plain, closed)
        with pytest.raises(pack("lora_unlearn").UnlearnError, match="cannot tell whose is whose"):
            kit.sample(two, kit.cond(CAT))
