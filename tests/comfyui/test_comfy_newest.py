"""The families of 2026, tiny and random, with tiny language models: the whole way of an eraser in each."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

pytestmark = pytest.mark.comfyui

FAMILIES = ["z_image", "anima", "flux2", "qwen_image", "krea2"]
ENTRIES = {
    "z_image": ["cap_embedder.1"],
    "anima": [f"transformer_blocks.{block}.attn2.to_v" for block in range(2)],
    "flux2": ["context_embedder"],
    "qwen_image": ["txt_in"],
    "krea2": ["txt_in.linear_1"],
}
"""Where the closed form belongs, by diffusers' names."""
PLACES = {
    "z_image": "cap_embedder.1",
    "anima": "blocks.1.cross_attn.v_proj",
    "flux2": "txt_in",
    "qwen_image": "txt_in",
    "krea2": "txtmlp.1",
}
"""The same layer, Anima's second one, as the host calls it."""
THINGS = "dog chair lamp car tree house bird boat horse cup book hat ship lake".split()
SAID = (
    "a photo of a {}", "an old {} beside a tall tree", "a drawing of a {}", "a red {} on a table", "the {}",
    "a small {} in the snow", "a {} and a tree",
)  # fmt: skip
BANK = [sentence.format(thing) for thing in THINGS for sentence in SAID]
"""Enough ordinary prompts for a bound of three in a hundred; further words would fill the tiny models' width."""
NOT_OFFERED = [("z_image", "all_but_cross"), ("krea2", "all_but_cross")]
"""Sets of layers that families of one stream do not have."""
CAT, OTHER = "a photo of a cat", "an old chair beside a tall tree"


@pytest.fixture(scope="module")
def newest(host):
    """A family's MODEL and CLIP as nodes build them, once."""
    import comfy_newest

    known = {}

    def make(family):
        if family not in known:
            with torch.inference_mode():
                model, clip = getattr(comfy_newest, family)(), comfy_newest.text_encoder(family)
            known[family] = SimpleNamespace(model=model, clip=clip, family=family)
        return known[family]

    return make


@pytest.fixture(scope="module")
def erasers(newest, pack):
    """The quick eraser of cats for a family, made once, and how much of the concept's tokens it redirects."""
    erase, core = pack("lora_unlearn.erase"), pack("lora_unlearn")
    usual = pack("lora_unlearn.promise").Promise
    order, denoiser = pack("lora_unlearn.order"), pack("nodes.denoiser")
    known = {}

    def make(family):
        if family not in known:
            parts = newest(family)
            with torch.inference_mode(), torch.inference_mode(False):
                host = denoiser.ComfyDenoiser(parts.model, parts.clip, (128, 128))
                promise = usual(false_open_rate=0.03)
                concept = core.Concept("cat", replace_with="dog")
                made = order.Order(concept, "instant", erase.MODES["instant"], promise)
                known[family] = erase.fulfil(host, made, BANK)
        return known[family]

    return make


def latents(host, parts, model, text, cfg=1.0, steps=2, seed=3):
    """By the host's own sampler, as a graph draws."""
    with torch.inference_mode():
        positive, negative = (host.CLIPTextEncode().encode(parts.clip, words)[0] for words in (text, ""))
        latent = {"samples": torch.zeros(1, model.get_model_object("latent_format").latent_channels, 8, 8)}
        return host.KSampler().sample(model, seed, steps, cfg, "euler", "simple", positive, negative, latent)[0][
            "samples"
        ]


def watched(model):
    """A clone of a MODEL that notes the states, noise levels and results of its network's evaluations."""
    from comfy.patcher_extension import WrappersMP

    seen, clone = [], model.clone()

    def apply(executor, x, t, *args, **kwargs):
        seen.append((x.clone(), t.clone(), executor(x, t, *args, **kwargs).clone()))
        return seen[-1][2]

    clone.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "test", apply)
    return clone, seen


@pytest.mark.parametrize("family", FAMILIES)
def test_the_denoiser_asks_what_the_host_asks(family, host, pack, newest):
    """Prompts of several lengths at once, each predicted for as the host does by itself; four dimensions."""
    parts = newest(family)
    denoiser = pack("nodes.denoiser").ComfyDenoiser(parts.model, parts.clip, (128, 128))
    model, seen = watched(parts.model)
    for text in (CAT, OTHER):
        latents(host, parts, model, text, steps=1)
    with torch.inference_mode(), torch.inference_mode(False), torch.no_grad():
        rows, sigmas = denoiser.encode([CAT, OTHER]), denoiser.sigmas(4)
        x, t, theirs = (torch.cat(found).clone() for found in zip(*seen, strict=True))
        ours = denoiser.predict(x.flatten(1, -3), t, rows)
        noise = denoiser.initial_noise(2, torch.Generator().manual_seed(0))
    assert denoiser.family == family and denoiser.prediction_type == "flow"
    assert sigmas.shape == (5,) and sigmas[-1] == 0 and noise.ndim == 4 and noise.shape[1:] == denoiser.shape
    assert torch.allclose(x.flatten(1, -3) - t.view(-1, 1, 1, 1) * ours, theirs.flatten(1, -3), atol=1e-4)
    assert (ours[0] - ours[1]).abs().max() > 1e-3


def under(pack, parts, eraser, mode="auto", model=None):
    """A clone of the MODEL that samples under an eraser."""
    with torch.inference_mode():
        return pack("nodes.guide").apply_erasers(model or parts.model, [pack("lora_unlearn").Eraser(eraser, 1.0, mode)])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gate_reads_what_the_entry_layer_reads(family, host, pack, newest, erasers):
    parts, eraser = newest(family), erasers(family)
    model = under(pack, parts, eraser)
    read, entry = [], parts.model.model.diffusion_model.get_submodule(PLACES[family])
    handle = entry.register_forward_pre_hook(lambda module, given: read.append(given[0].clone()))
    latents(host, parts, model, CAT, steps=1)
    handle.remove()
    (guidance,) = model.get_attachment(pack("nodes.guide").KEY).last.guidances.values()
    denoiser = pack("nodes.denoiser").ComfyDenoiser(parts.model, parts.clip)
    with torch.inference_mode(), torch.inference_mode(False), torch.no_grad():
        rows = denoiser.encode([CAT, OTHER]).tensors
    seen, text = read[-1][0], guidance.text[0]
    start = int((seen - text[0]).norm(dim=-1).argmin())
    assert torch.allclose(text, seen[start : start + len(text)], atol=1e-5)
    assert torch.allclose(rows["text"][0, : len(text)], text, atol=1e-5)
    assert family == "anima" or (start, len(text)) == ({"z_image": 3, "flux2": 3}.get(family, 0), len(CAT.split()))
    assert family == "anima" or not rows["text"][0, len(text) :].any()
    assert eraser.lora.names == ENTRIES[family]


def redirected(eraser, denoiser, pairs):
    """How much of the wanted change the eraser makes of the concept's tokens, in the layers that it sits in."""
    concept, change, wanted = eraser.concept.pairs(), 0.0, 0.0
    text, other = pairs.paired(*(denoiser.encode([pair[side] for pair in concept]) for side in (0, 1)))
    targets = denoiser.linears(eraser.settings.selector)
    for name, layer in eraser.lora.items():
        asked = (1 + eraser.settings.repulsion) * (other - text) @ targets[name].weight.float().T
        change, wanted = change + (layer(text) * asked).sum(), wanted + asked.square().sum()
    return float(change / wanted)


@pytest.mark.parametrize("cfg", [1.0, 4.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_quick_eraser_erases_and_leaves_the_rest_alone(family, cfg, host, pack, newest, erasers):
    """Turbo models are drawn at CFG 1, without any negative prompt."""
    parts, eraser = newest(family), erasers(family)
    weights = {name: value.clone() for name, value in parts.model.model.state_dict().items()}
    before = {text: latents(host, parts, parts.model, text, cfg) for text in (CAT, OTHER)}
    model = under(pack, parts, eraser)
    change = (latents(host, parts, model, CAT, cfg) - before[CAT]).abs().max()
    (decision,) = model.get_attachment(pack("nodes.guide").KEY).last.decisions(0)[0]
    assert decision.open and change / before[CAT].abs().max() > 1e-4
    assert torch.equal(latents(host, parts, model, OTHER, cfg), before[OTHER])
    assert torch.equal(latents(host, parts, parts.model, CAT, cfg), before[CAT])
    assert all(torch.equal(weights[name], value) for name, value in parts.model.model.state_dict().items())
    assert not [name for name, module in parts.model.model.named_modules() if "forward" in vars(module)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_closed_form_redirects_the_concept_and_keeps_the_empty_prompt(family, pack, newest, erasers):
    parts, eraser = newest(family), erasers(family)
    denoiser = pack("nodes.denoiser").ComfyDenoiser(parts.model, parts.clip, (128, 128))
    with torch.inference_mode(), torch.inference_mode(False), torch.no_grad():
        share = redirected(eraser, denoiser, pack("lora_unlearn.pairs"))
        blank = pack("lora_unlearn.directions").whole(denoiser.encode([""]), ("before", "text", "after"))
        blank = blank.tensors["text"].float()[0]
        targets = denoiser.linears(eraser.settings.selector)
        moved = sum(float(layer(blank).square().sum()) for _, layer in eraser.lora.items())
        usual = sum(float((blank @ target.weight.float().T).square().sum()) for target in targets.values())
    assert 0.9 < share < 1.1
    assert moved / usual < 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stock_loader_makes_the_same_of_the_file(family, host, pack, newest, erasers, caplog):
    import comfy.sd
    import comfy.utils
    import folder_paths

    parts, eraser = newest(family), erasers(family)
    path = eraser.save(f"{folder_paths.get_folder_paths('loras')[0]}/{family}.safetensors")
    with caplog.at_level(logging.WARNING), torch.inference_mode():
        stock, _ = comfy.sd.load_lora_for_models(parts.model, None, comfy.utils.load_torch_file(str(path)), 1.0, 0.0)
    assert not [record for record in caplog.records if "NOT LOADED" in record.getMessage().upper()]
    base, theirs = (latents(host, parts, model, CAT) for model in (parts.model, stock))
    again = pack("lora_unlearn").Adapter.load(path)
    ours = latents(host, parts, under(pack, parts, again, "on"), CAT)
    assert again.lora.names == eraser.lora.names
    change = (theirs - base).abs().max()
    assert change / base.abs().max() > 1e-4
    assert (ours - theirs).abs().max() / change < 0.02


SELECTORS = [(family, selector) for family in FAMILIES for selector in ("cross_kv", "context", "all_but_cross")]
SELECTORS = [place for place in SELECTORS if place not in (("anima", "context"), *NOT_OFFERED)]


@pytest.mark.parametrize(("family", "selector"), SELECTORS, ids=["-".join(place) for place in SELECTORS])
def test_every_layer_is_one_that_the_stock_loader_knows(family, selector, host, pack, newest, caplog):
    """By diffusers' names, slices of fused layers too: random values, merged by the host or attached by us."""
    import comfy.sd

    parts, core, formats = newest(family), pack("lora_unlearn"), pack("lora_unlearn.formats")
    denoiser = pack("nodes.denoiser").ComfyDenoiser(parts.model, parts.clip, (64, 64))
    with torch.inference_mode(), torch.inference_mode(False):
        targets = denoiser.linears(selector)
        lora = pack("lora_unlearn.lora").new_lora(targets, 2, 1.0, torch.Generator().manual_seed(1))
        for layer in lora.layers:
            torch.nn.init.normal_(layer.up, std=0.02, generator=torch.Generator().manual_seed(2))
        lora.round_to_half()
    gate, settings = core.Gate(statistic="text", text_closed=1.0, text_open=1.0), core.Settings(selector=selector)
    eraser = core.Adapter(lora, core.Concept("cat"), settings, gate, family, "0" * 16)
    with caplog.at_level(logging.WARNING), torch.inference_mode():
        stock, _ = comfy.sd.load_lora_for_models(parts.model, None, formats.to_stock(lora, family), 1.0, 0.0)
    assert not [record for record in caplog.records if "NOT LOADED" in record.getMessage().upper()]
    drawn = [latents(host, parts, model, CAT, steps=1) for model in (parts.model, stock)]
    ours = latents(host, parts, under(pack, parts, eraser, "on"), CAT, steps=1)
    change = (drawn[1] - drawn[0]).abs().max()
    assert change > 0 and (ours - drawn[1]).abs().max() / change < 0.02


@pytest.mark.parametrize("statistic", ["look", "kappa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_gates_that_ask_the_network_tell_the_concept_from_the_rest(family, statistic, host, pack, newest, erasers):
    """In pure noise before the first step, and at a step of the picture's own: both by prompts of other lengths."""
    parts, guide, core = newest(family), pack("nodes.guide"), pack("lora_unlearn")
    shape = pack("nodes.denoiser").ComfyDenoiser(parts.model, parts.clip, (64, 64)).shape
    asks = {"look": 0.99, "look_shape": shape} if statistic == "look" else {}
    gate = core.Gate(statistic=statistic, threshold=0.99, step=0.0, **asks)
    eraser = replace(erasers(family), gate=gate)
    with torch.inference_mode():
        encoded = guide.encoded_for(parts.model, parts.clip, [core.Eraser(eraser, 1.0, "auto")])
        model = guide.apply_erasers(parts.model, [core.Eraser(eraser, 1.0, "auto")], encoded)
    found = {}
    for text in (CAT, OTHER):
        drawn = latents(host, parts, model, text, cfg=2.0)
        (found[text],) = model.get_attachment(guide.KEY).last.decisions(0)[0]
        assert torch.equal(drawn, latents(host, parts, parts.model, text, cfg=2.0)) != found[text].open
    assert found[CAT].open and found[CAT].score == pytest.approx(1, abs=1e-3)
    assert not found[OTHER].open


@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_starts_from_the_closed_form_and_changes_no_weight(family, pack, newest):
    """A few updates, by gradients through the host's network."""
    parts, settings = newest(family), pack("lora_unlearn.settings")
    train, prompts = pack("lora_unlearn.training.train"), pack("lora_unlearn.training.prompts")
    weights = {name: value.clone() for name, value in parts.model.model.state_dict().items()}
    denoiser = pack("nodes.denoiser").ComfyDenoiser(parts.model, parts.clip, (64, 64))
    concept = pack("lora_unlearn").Concept("cat", replace_with="dog")
    chosen = settings.for_family(settings.Settings(iterations=3, trajectories=2, trajectory_steps=2, batch=2), family)
    with torch.inference_mode(), torch.inference_mode(False), torch.enable_grad():
        read = prompts.encode(denoiser, concept, THINGS)
        begun = train.solve(denoiser, read, chosen)
        done = train.train(denoiser, read, chosen)
    before, after = (torch.cat([own.up.detach().flatten() for own in lora.layers]) for lora in (begun, done.lora))
    assert done.complete and len(done.losses) == 3 and bool(torch.isfinite(after).all())
    assert not torch.equal(after, before)
    assert all(torch.equal(weights[name], value) for name, value in parts.model.model.state_dict().items())


@pytest.mark.parametrize("family", ["z_image", "anima"])
def test_the_nodes_train_what_they_said_they_would(family, pack, newest, monkeypatch):
    """The way of *Erase Concept*: fingerprint, estimate of memory, training, cache."""
    training, core, promise = pack("nodes.training"), pack("lora_unlearn"), pack("lora_unlearn.promise")
    short = [f"{one} {other}" for one in THINGS for other in THINGS]  # to which these networks react as to "cat"
    monkeypatch.setattr(training, "load_bank", lambda family: short)
    parts, modes = newest(family), pack("lora_unlearn.erase").MODES
    few = replace(modes["fast"], iterations=2, trajectories=2, trajectory_steps=2, batch=2)
    concept = core.Concept("cat", replace_with="dog")
    order = training.Order(concept, "fast", few, promise.Promise(false_open_rate=0.03), size=(64, 64))
    with torch.inference_mode():
        made = training.train_eraser(parts.model, parts.clip, order)
        again = training.train_eraser(parts.model, parts.clip, order)
    assert made.lora.names == ENTRIES[family] and not made.partial and made.family == family
    assert again is made or again.metadata() == made.metadata()


def test_an_eraser_of_the_base_works_on_turbo(host, pack, newest, erasers):
    """Another checkpoint of the family, other weights everywhere, drawn at CFG 1."""
    import comfy_newest

    parts, eraser = newest("z_image"), erasers("z_image")
    with torch.inference_mode():
        turbo = SimpleNamespace(model=comfy_newest.z_image(), clip=parts.clip)
        comfy_newest._filled(turbo.model.model.diffusion_model, 5)
    denoiser = pack("nodes.denoiser").ComfyDenoiser(turbo.model, parts.clip)
    with torch.inference_mode(), torch.inference_mode(False):
        assert pack("lora_unlearn.denoiser").base_hash(denoiser) != eraser.base_hash
    told = pack("nodes.same_model").others_told
    at_work = [pack("lora_unlearn").Eraser(eraser)]
    assert "measured on another z_image model than this one; calibrate it" in told(turbo.model, at_work)
    assert told(parts.model, at_work) == ""
    model = under(pack, turbo, eraser)
    cat, other = (latents(host, turbo, turbo.model, text) for text in (CAT, OTHER))
    assert (latents(host, turbo, model, CAT) - cat).abs().max() / cat.abs().max() > 1e-4
    assert torch.equal(latents(host, turbo, model, OTHER), other)


@pytest.mark.parametrize("name", ["ZImagePixelSpace", "Lumina2", "QwenImage in layers", "LongCatImage"])
def test_relatives_are_refused_by_name(name, pack, host, newest):
    import comfy.model_base
    import comfy_newest

    core, families = pack("lora_unlearn"), pack("nodes.families")
    with torch.inference_mode():
        model = comfy_newest.qwen_image(use_additional_t_cond=True) if "layers" in name else comfy_newest.z_image()
    if name == "Lumina2":
        model.model.model_config.unet_config = {**model.model.model_config.unet_config, "z_image_modulation": False}
    elif "layers" not in name:
        model.model.__class__ = getattr(comfy.model_base, name)
    with pytest.raises(core.UnlearnError, match=f"of the kind {name}, but erasing works on"):
        families.family_of(model)


ANIMA = dict(image_model="anima", max_img_h=240, max_img_w=240, max_frames=128, in_channels=16, out_channels=16)
ANIMA |= dict(patch_spatial=2, patch_temporal=1, model_channels=2048, crossattn_emb_channels=1024, num_blocks=28)
ANIMA |= dict(num_heads=16, pos_emb_cls="rope3d", use_adaln_lora=True, adaln_lora_dim=256)
KLEIN = dict(image_model="flux2", in_channels=128, out_channels=128, patch_size=1, vec_in_dim=None, context_in_dim=7680)
KLEIN |= dict(hidden_size=3072, mlp_ratio=3.0, num_heads=24, depth=5, depth_single_blocks=20, axes_dim=[32] * 4)
KLEIN |= dict(theta=2000, qkv_bias=False, guidance_embed=False, txt_ids_dims=[3], global_modulation=True)
Z_IMAGE = dict(image_model="lumina2", in_channels=16, dim=3840, cap_feat_dim=2560, n_layers=30, qk_norm=True)
Z_IMAGE |= dict(n_heads=30, n_kv_heads=30, axes_dims=[32, 48, 48], ffn_dim_multiplier=8 / 3, z_image_modulation=True)
REAL = {
    "z_image": ("ZImage", Z_IMAGE, "context", 1, (3840, 2560)),
    "anima": ("Anima", ANIMA, "cross_v", 28, (2048, 1024)),
    "flux2": ("Flux2", {**KLEIN, "mlp_silu_act": True, "ops_bias": False}, "context", 1, (3072, 7680)),
    "qwen_image": ("QwenImage", {"image_model": "qwen_image"}, "context", 1, (3072, 3584)),
    "krea2": ("Krea2", {"image_model": "krea2"}, "context", 1, (6144, 2560)),
}
"""ComfyUI's description of the real models, and where their erasers sit."""


@pytest.mark.parametrize("family", FAMILIES)
def test_the_real_widths_of_the_newest_families(family, host, pack):
    """The networks of full size, without memory: only the names and shapes of their layers."""
    import comfy.supported_models

    name, description, selector, count, shape = REAL[family]
    config = getattr(comfy.supported_models, name)(description)
    config.set_inference_dtype(torch.bfloat16, None)
    model = SimpleNamespace(model=config.get_model({}, "", device=torch.device("meta")))
    families, core = pack("nodes.families"), pack("lora_unlearn.families")
    assert families.family_of(model) == family
    layers = pack("lora_unlearn.hosts.layers").choose(
        families.linears(model, family), core.FAMILIES[family].layers, selector
    )
    assert len(layers) == count and {target.shape for target in layers.values()} == {shape}
