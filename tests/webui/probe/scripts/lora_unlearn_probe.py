"""Loaded by the host beside the extension, in tests alone: looks from inside."""

import sys
from dataclasses import replace

import numpy as np
import torch
from modules import infotext_utils, prompt_parser, script_callbacks, scripts, shared

CAT = "a photo of a cat"


class SplitPrompts(scripts.Script):
    """As prompt generators do: a prompt with || in it becomes one prompt for each picture."""

    def title(self):
        return "Split prompts"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def process(self, p, *args):
        if "||" in p.prompt:
            parts = [part.strip() for part in p.prompt.split("||")]
            p.all_prompts = [parts[index % len(parts)] for index in range(len(p.all_prompts))]


class Comments(scripts.Script):
    """Keeps what the last job says under its picture."""

    last = ""

    def title(self):
        return "Comments"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def postprocess(self, p, processed, *args):
        Comments.last = processed.comments


def comments():
    """What the last job said under its picture."""
    return {"said": Comments.last}


def part(name):
    """A module of the extension, as the host loaded it."""
    return sys.modules[f"lora_unlearn_extension.webui.{name}"]


def marks():
    """What anyone has left on the modules of the live U-Net, and a digest of its weights."""
    unet = part("model").unet_of(shared.sd_model)
    left = [name for name, module in unet.named_modules() if "forward" in module.__dict__ or module._forward_pre_hooks]
    total = sum(float(parameter.detach().double().abs().sum()) for parameter in unet.parameters())
    asking = sum(parameter.requires_grad for parameter in unet.parameters())
    return {"left": left, "weights": total, "asking": asking, "training": unet.training}


def refusals():
    """What is said of models that cannot be worked on; the loaded one plays them all."""
    model, sd_model = part("model"), shared.sd_model
    unet, told = model.unet_of(sd_model), {}
    width = next(module for name, module in unet.named_modules() if name.endswith("attn2.to_k"))
    for name, place, attribute, value in (
        ("inpainting", unet, "in_channels", 9),
        ("refiner", width, "in_features", 1280),
        ("sdxl without its label", width, "in_features", 2048),
        ("unknown", width, "in_features", 99),
        ("low memory", shared.cmd_opts, "lowvram", True),
    ):
        before = getattr(place, attribute)
        setattr(place, attribute, value)
        try:
            model.check_trainable(sd_model)
            told[name] = ""
        except ValueError as error:
            told[name] = str(error)
        finally:
            setattr(place, attribute, before)
    return told


def break_next_step():
    """The U-Net fails at its third evaluation from now."""
    unet, calls = part("model").unet_of(shared.sd_model), []

    def fail(module, args):
        calls.append(1)
        if len(calls) == 3:
            hook.remove()
            raise RuntimeError("made to fail by a test")

    hook = unet.register_forward_pre_hook(fail)
    return {}


def looks(denoiser):
    """What the Denoiser says of the demo model."""
    base_hash = sys.modules["lora_unlearn.denoiser"].base_hash
    text = denoiser.encode(["a photo of a cat", ""])
    x = denoiser.initial_noise(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        predicted = denoiser.predict(x, denoiser.sigmas(5)[1].expand(2).to(x), text)
    return {
        "hash": base_hash(denoiser),
        "family": denoiser.family,
        "prediction": denoiser.prediction_type,
        "layers": {s: {n: t.shape for n, t in denoiser.linears(s).items()} for s in ("cross_v", "all_but_cross")},
        "text": text.tensors["text"].tolist(),
        "sigmas": denoiser.sigmas(5).tolist(),
        "x": x.tolist(),
        "predicted": predicted.tolist(),
    }


def slopes(denoiser):
    """The gradient of an adapter in every attention's keys and values, and what a small step along it does."""
    new_lora = sys.modules["lora_unlearn.lora"].new_lora
    targets, generator = denoiser.linears("cross_kv"), torch.Generator().manual_seed(1)
    lora = new_lora(targets, 2, 1.0, generator)
    for _, layer in lora.items():
        torch.nn.init.normal_(layer.up, std=0.02, generator=generator)
    rows = denoiser.encode(["a cat", "a dog on a red background"])
    x, sigma = denoiser.initial_noise(2, torch.Generator().manual_seed(0)), denoiser.sigmas(4)[1:3]
    with torch.no_grad():
        base = denoiser.predict(x, sigma, rows)
    with lora.attached(targets), lora.rows(torch.ones(1)):

        def loss():
            return (denoiser.predict(x, sigma, rows) - base).square().mean()

        loss().backward()
        layer = max((layer for _, layer in lora.items()), key=lambda layer: float(layer.up.grad.norm()))
        finite = all(bool(torch.isfinite(value.grad).all()) for value in lora.parameters())
        size, values = float(layer.up.grad.norm()), []
        for sign in (1, -1):
            with torch.no_grad():
                layer.up += sign * 1e-3 * layer.up.grad / size
                values.append(float(loss()))
                layer.up -= sign * 1e-3 * layer.up.grad / size
    return {"slope": size * 1e-3, "measured": (values[0] - values[1]) / 2, "finite": finite}


def enters(denoiser):
    """What the layers that read the prompt are given while the network predicts, beside what `encode` says of it.

    Also how the closed form changes what they make of the concept: the share of the way to what takes its place.
    """
    prompts, families = sys.modules["lora_unlearn.training.prompts"], sys.modules["lora_unlearn.families"].FAMILIES
    selector = "context" if "context" in families[denoiser.family].layers else "cross_kv"
    targets, given = denoiser.linears(selector), []
    short, long = denoiser.encode([CAT])[[0]], denoiser.encode([CAT, "a dog " + "on a very red background " * 5])
    name, target = next(iter(targets.items()))
    x = denoiser.initial_noise(2, torch.Generator().manual_seed(0))
    hook = target.linear.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    with torch.no_grad():
        alone = denoiser.predict(x[:1], denoiser.sigmas(3)[1:2], short)
        mixed = denoiser.predict(x, denoiser.sigmas(3)[1:2].expand(2), long)
    hook.remove()
    parts = [short.tensors[part][0] for part in ("before", "text", "after") if part in short.tensors]
    seen, text = (found[found.abs().sum(1) != 0] for found in (given[0].flatten(0, -2), torch.cat(parts)))
    said = short.tensors["text"][0]
    concept = sys.modules["lora_unlearn"].Concept("cat", replace_with="dog")
    asked = prompts.encode(denoiser, concept, ["a red house", "two ships on the sea", "a portrait of a queen"])
    lora = sys.modules["lora_unlearn.training.starts.edit"].closed_form(targets, asked, 32)
    cat, dog = (group.tensors["text"].float().flatten(0, 1) for group in asked.text_pairs)
    wanted, layer = (dog - cat) @ target.weight.float().T, dict(lora.items())[name]
    rows = cat.abs().sum(1) != 0
    made, known = layer(cat), denoiser.vocabulary()
    return {
        "words": [len(known.words), *known.embed(["cat", "lighthouse"]).shape],
        "entries": [name, *targets],
        "given": float((seen - text.to(seen)).abs().max()),
        "said": int((said != 0).any(dim=1).sum()),
        "lengths": [list(tensor.shape) for tensor in given],
        "alone": float((mixed[:1] - alone).abs().max()),
        "size": float(alone.abs().max()),
        "redirected": float((made[rows] * wanted[rows]).sum() / wanted[rows].square().sum()),
    }


def draws():
    """A picture as the tab draws them, and whether the page may still ask for its last settings meanwhile."""
    sampling, asked = sys.modules["lora_unlearn"].Sampling(steps=6, guidance_scale=5.0), []
    with part("host").WebHost().lend("a test") as checkpoint:
        picture = checkpoint.draw(
            [CAT], [3], sampling, report=lambda *done: asked.append(not shared.cmd_opts.no_prompt_history)
        )[0]
    return {"picture": np.asarray(picture.image).tolist(), "remembers": asked}


def lent(check):
    """Run a check on a lent checkpoint."""

    def run():
        with part("host").WebHost().lend("a test") as checkpoint:
            return check(checkpoint.denoiser)

    return run


def compiled(body: dict):
    """Compile the U-Net as Forge Neo's own script does, but with a backend that needs no compiler; or take it back."""
    script = next(d.script_class for d in scripts.scripts_data if d.script_class.__name__ == "TorchCompileForForge")
    inner = part("model").patcher_of(shared.sd_model).model
    if body["on"]:
        inner._torch_compile_config = ("eager",)
        script._wrap_apply_model(inner, {"backend": "eager"})
    else:
        script._remove_compile_wrapper(inner)
    return {}


def moving(body: dict):
    """Have the host move each U-Net that it loads as it does to a graphics card, by `Module.to`; or take that back.

    The other place is another precision, which makes new tensors in the same way and gives the same values back.
    """
    management = next(sys.modules[name] for name in MANAGEMENT if name in sys.modules)
    if not body["on"]:
        management.load_model_gpu = MOVING.pop()
        return {}
    own = management.load_model_gpu

    def load(patcher):
        own(patcher)
        patcher.model.to(torch.float64)
        patcher.model.to(torch.float32)

    MOVING.append(own)
    management.load_model_gpu = load
    return {"inference": next(part("model").unet_of(shared.sd_model).parameters()).is_inference()}


MANAGEMENT, MOVING = ("backend.memory_management", "ldm_patched.modules.model_management"), []


def side(body: dict):
    """Train a family on latents of this height and width: at their own size, a test would take an hour."""
    families, name = sys.modules["lora_unlearn.families"].FAMILIES, body.get("family", "sdxl")
    before = families[name].side
    families[name] = replace(families[name], side=body["side"])
    return {"before": before}


def vector(denoiser):
    """What SDXL's U-Net is given beside the text when it is asked for a prediction, and what the host would give."""
    own = prompt_parser.SdConditioning([CAT], width=denoiser.size[1], height=denoiser.size[0])
    expected = denoiser.sd_model.get_learned_conditioning(own)["vector"]
    seen, text = [], denoiser.encode([CAT, "a dog"])
    hook = denoiser.unet.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["y"]), with_kwargs=True)
    x = denoiser.initial_noise(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        denoiser.predict(x, denoiser.sigmas(5)[1].expand(2).to(x), text)
    hook.remove()
    return {"given": seen[0][0].tolist(), "expected": expected[0].tolist()}


def loras():
    """How many layers A1111's own loader found for each LoRA of the last picture."""
    return {"layers": [len(net.modules) for net in sys.modules["networks"].loaded_networks]}


def reload():
    """Press Reload UI."""
    shared.state.request_restart()
    return {}


def paste(body: dict):
    """The values that the accordion takes from a pasted infotext; None where it keeps its own."""
    params = infotext_utils.parse_generation_parameters(body["infotext"])
    script = next(s for s in scripts.scripts_txt2img.alwayson_scripts if s.title() == "Erase concepts")
    return {"values": [read(params) for _, read in script.infotext_fields]}


CHECKS = {
    "comments": comments,
    "paste": paste,
    "refusals": refusals,
    "compiled": compiled,
    "moving": moving,
    "reload": reload,
    "side": side,
    "loras": loras,
    "marks": marks,
    "break": break_next_step,
    "draws": draws,
    "enters": lent(enters),
    "looks": lent(looks),
    "slopes": lent(slopes),
    "vector": lent(vector),
}


def app_started(demo, app):
    """Offer the checks over HTTP."""
    for name, check in CHECKS.items():
        app.add_api_route(f"/test/{name}", check, methods=["POST"])


script_callbacks.on_app_started(app_started)
