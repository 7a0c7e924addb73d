"""Methods as rows of parts: formulas on small tensors, what cannot be meant, and an erasure with every row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from lora_unlearn import Adapter, Concept, Eraser, Settings, UnlearnError, denoiser_for, erase, load_bank
from lora_unlearn.describe import describe
from lora_unlearn.lora import Lora, LoraLayer
from lora_unlearn.options import option
from lora_unlearn.training.averages.ema import Spring
from lora_unlearn.training.method import PARTS, Parts, part_options
from lora_unlearn.training.methods import METHODS, row
from lora_unlearn.training.objectives import OBJECTIVES, objective_of
from lora_unlearn.training.prompts import encode
from lora_unlearn.training.scene import Scene
from lora_unlearn.training.sources import SOURCES
from lora_unlearn.training.sources.debiased import Debiased
from lora_unlearn.training.sources.min_snr import MinSnr
from lora_unlearn.training.starts import STARTS
from lora_unlearn.training.states import States
from lora_unlearn.training.terms.anchors import drawn
from lora_unlearn.training.typed import changed, checked, read_option
from lora_unlearn.training.updates import UPDATES


def states(target=1.0, reference=2.0, empty=4.0, sigma=(0.5, 2.0)):
    """Two states whose predictions are constant."""
    count = len(sigma)
    parts = [torch.full((count, 1, 2, 2), value) for value in (target, reference, empty)]
    return States(torch.zeros(count, 1, 2, 2), torch.tensor(sigma), *parts, torch.zeros(count, dtype=torch.long))


@pytest.mark.parametrize(
    ("name", "wanted"), [("unguide", 4.0), ("redirect", 2.0), ("surgical", 8.0), ("esd", 10.0), ("leco", 8.0)]
)
def test_objectives_are_their_formulas_and_their_weights_sum_to_one(name, wanted):
    objective = OBJECTIVES[name]
    assert objective(states(), 2.0).unique().tolist() == [wanted]  # e = 1, e_ref = 2, e_0 = 4, gamma = 2
    assert objective(states(3.0, 3.0, 3.0), 2.0).unique().tolist() == [3.0]


def test_a_conflict_is_taken_out_of_both_gradients():
    forget, retain = [torch.tensor([1.0, 0.0])], [torch.tensor([-1.0, 1.0])]
    (together,) = UPDATES["restricted"](alpha=1.0).begin()([forget, retain])
    (f_only,) = UPDATES["restricted"](alpha=0.0).begin()([forget, retain])
    assert torch.allclose(f_only, torch.tensor([0.5, 0.5])) and abs(float(f_only @ retain[0])) < 1e-6
    assert torch.allclose(together - f_only, torch.tensor([0.0, 1.0]))  # the retaining part is orthogonal to forgetting
    (surgery,) = UPDATES["surgery"]().begin()([forget, retain])
    assert torch.allclose(surgery, f_only)
    for name in ("restricted", "surgery"):
        (plain,) = UPDATES[name]().begin()([forget, [torch.tensor([1.0, 1.0])]])
        assert torch.allclose(plain, torch.tensor([1.0, 0.0]) + (name == "restricted") * torch.tensor([1.0, 1.0]))


def test_only_the_most_salient_weights_move_from_the_first_full_gradient_on():
    masked = UPDATES["saliency"](share=0.5).begin()
    zero = [torch.tensor([1.0, -3.0]), torch.zeros(2)]
    assert torch.equal(masked([zero])[0], zero[0])  # nothing is known yet of the second parameter
    masked([[torch.tensor([1.0, -3.0]), torch.tensor([0.1, 2.0])]])
    found = masked([[torch.ones(2), torch.ones(2)], [torch.ones(2), torch.ones(2)]])
    assert [part.tolist() for part in found] == [[0.0, 2.0], [0.0, 2.0]]


def test_averages_follow_the_weights_and_a_spring_pulls_them_back():
    def adapter():
        return Lora({"a": LoraLayer(torch.zeros(1, 2), torch.zeros(2, 1), 1.0)})

    for pull in (0.0, 0.5):
        lora = adapter()
        spring = Spring(lora, 0.5, pull)
        for value in (1.0, 4.0):
            for parameter in lora.parameters():
                parameter.data.fill_(value)
            spring.update()
        live = lora.layers[0].up.unique().item()
        spring.finish()
        assert lora.layers[0].up.unique().item() == pytest.approx(3.0)  # (1 * 0.25 + 4 * 0.5) / 0.75
        assert live == pytest.approx(4.0 if pull == 0 else 3.5)


class Given:
    held = None

    def draw(self, lora, count):
        return states()


class Kind:
    def __init__(self, prediction_type):
        self.prediction_type = prediction_type


@pytest.mark.parametrize(
    ("wrapper", "kind", "ratio"),
    [
        (MinSnr(5.0), "epsilon", 1.0),  # SNR 4 and 0.25 are both below 5
        (MinSnr(1.0), "epsilon", 0.25),
        (MinSnr(5.0), "v_prediction", (4 / 5) / (0.25 / 1.25)),
        (Debiased(), "epsilon", 0.5 / 2.0),
    ],
)
def test_weights_by_noise_level_are_their_formulas(wrapper, kind, ratio):
    scene = Scene(Kind(kind), None, {}, Settings(), torch.Generator())
    weight = wrapper.wrap(scene, Given()).draw(None, 2).weight
    assert float(weight[0] / weight[1]) == pytest.approx(ratio, rel=1e-4)
    assert float(weight.mean()) == pytest.approx(1.0)


def test_random_texts_have_about_the_concepts_size_and_are_unlike_it():
    like = torch.randn(32, 7, 12, generator=torch.Generator().manual_seed(1))
    found = drawn(like, torch.Generator().manual_seed(0))
    sizes = found.flatten(1).norm(dim=1) / like.flatten(1).norm(dim=1)
    assert 0.79 < float(sizes.min()) < 0.9 < 1.1 < float(sizes.max()) < 1.21
    cosine = torch.nn.functional.cosine_similarity(found.flatten(1), like.flatten(1))
    assert float(cosine.mean()) < 0.1


@pytest.mark.parametrize("name", ["uce", "speed"])
def test_closed_forms_move_the_concepts_token_and_spare_the_others(pipe, name):
    denoiser = denoiser_for(pipe)
    concept = Concept("cat", replace_with="dog")
    prompts = encode(denoiser, concept, [p for p in load_bank("demo")[:300] if not concept.named_in(p)][:200])
    settings = row(name)
    scene = Scene(denoiser, prompts, denoiser.linears(settings.selector), settings, torch.Generator())
    lora = STARTS[name]()(scene)

    def change(text):
        tokens = denoiser.encode([text]).tensors["text"]
        own = sum(float((tokens @ scene.targets[n].weight.T).square().sum()) for n, _ in lora.items())
        return sum(float(layer(tokens).square().sum()) for _, layer in lora.items()) / own

    assert change("a photo of the cat") > 4 * change("a photo of the house")
    assert change("") < 0.1 * change("a photo of the cat")


@pytest.mark.parametrize(
    ("method", "typed", "said"),
    [
        ("fast", {"averge": "ema"}, "There is no option 'averge'; the nearest name is 'average'"),
        ("fast", {"average": "emma"}, "There is no average 'emma'; the nearest name is 'ema'"),
        ("fast", {"terms": "goal,retian"}, "There is no term 'retian'; the nearest name is 'retain'"),
        ("fast", {"terms": "retain"}, "first term must be goal"),
        ("fast", {"update": "restricted"}, "terms=goal,retain"),
        ("fast", {"source": "adversarial"}, "Of the sources exactly the first"),
        ("fast", {"rank": "0"}, "rank must be a whole number from 1"),
        ("fast", {"gamma": "nan"}, "gamma must be a number"),
        ("fast", {"ema.decay": "0.5"}, "belongs to ema, which this method has not"),
        ("fast", {"selector": "all_but_cross"}, "do not read it"),
        ("instant", {"source": "recorded,adversarial"}, "trains nothing"),
        (
            "esd",
            {"weight": "3"},
            "belongs to pin, which this method has not; write terms=goal,pin, too, or leave it out",
        ),
        ("esd", {"hardest.tau": "1"}, "write source=recorded,hardest, too, or leave it out"),
        ("instant", {"ema.decay": "0.5"}, "which this method has not; leave it out"),
        ("fast", {"terms": "goal,retain,retain"}, "names retain twice"),
        ("fast", {"source": "recorded,hardest,hardest"}, "names hardest twice"),
        ("doco", {"weight": "3"}, "write retain.weight or domain.weight"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(method, typed, said):
    with pytest.raises(UnlearnError, match=said) as found:
        changed(METHODS[method].settings, typed)
    assert str(found.value).count("\n") == 0 and len(str(found.value)) < 400


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rank": 0}, "rank must be a whole number from 1 to"),
        ({"gamma": float("nan")}, "gamma must be a number from 0 to"),
        ({"learning_rate": -1.0}, "learning_rate must be a number from"),
        ({"trajectories": 0}, "trajectories must be a whole number from 1 to"),
        ({"terms": "goal"}, "terms takes several names"),
        ({"terms": None}, "terms takes names, not 'None'"),
        ({"down": 5}, "down takes a name, not '5'"),
        ({"options": None}, "options takes a dict of numbers by name"),
        ({"options": {"ema.decay": 0.5}}, "ema.decay belongs to ema, which this method has not; write average=ema"),
        ({"iterations": 0, "average": "ema"}, "trains nothing, so average has no use"),
        ({"source": ("recorded", "min_snr", "min_snr")}, "names min_snr twice"),
    ],
)
def test_a_program_is_told_what_nobody_could_type(pipe, wrong, said):
    with pytest.raises(UnlearnError, match=said):
        erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"), "esd", replace(METHODS["esd"].settings, **wrong))


def test_a_programs_numbers_are_of_the_options_own_types():
    found = checked(replace(METHODS["fast"].settings, rank=8.0, gamma=1, learning_rate="0.02"))
    assert [(value, type(value)) for value in (found.rank, found.gamma, found.learning_rate)] == [
        (8, int), (1.0, float), (0.02, float),
    ]  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_every_row_is_one_that_could_be_typed(name):
    assert changed(METHODS[name].settings, {}) == METHODS[name].settings  # no option of a part that it has not


def test_a_part_is_known_by_its_name_alone():
    names = [name for table in PARTS.values() for name in table]
    assert sorted(set(names)) == sorted(names)


def test_what_a_part_had_goes_with_it():
    assert METHODS["restricted"].settings.options == {"retain.weight": 0.1}
    assert changed(METHODS["restricted"].settings, {"terms": "goal,anchors"}).options == {}


def test_an_adapters_own_way_has_the_empty_prompts_prediction_for_whoever_asks(pipe):
    denoiser = denoiser_for(pipe)
    prompts = encode(denoiser, Concept("cat", replace_with="dog"), ["a photo of a house"])
    settings = replace(METHODS["paper"].settings, objective="unguide", terms=("goal", "pin"), trajectory_steps=3)
    scene = Scene(denoiser, prompts, denoiser.linears("cross_kv"), settings, torch.Generator().manual_seed(0))
    lora = STARTS["random"]()(scene)
    with lora.attached(scene.targets):
        found = SOURCES["own"]().begin(scene, lambda progress: None, lambda: False).draw(lora, 2)
        wanted = scene.base(found.x, found.sigma, prompts.empty[[0, 0]])
    assert torch.allclose(found.empty, wanted) and not torch.allclose(found.empty, found.reference)


@dataclass(frozen=True)
class Bounded:
    """e_ref - gamma * clip(e - e_ref, tau)."""

    tau: float = option(0.5, 0, 10, "how far the push may go")

    def __call__(self, states, gamma):
        """The target."""
        return states.reference - gamma * (states.target - states.reference).clamp(-self.tau, self.tau)


def test_an_objective_of_your_own_may_have_a_number_of_its_own(pipe, monkeypatch, tmp_path):
    monkeypatch.setitem(OBJECTIVES, "bounded", Bounded)
    settings = changed(METHODS["fast"].settings, {"objective": "bounded", "tau": "0.25", "iterations": 2})
    assert objective_of(settings)(states(), 2.0).unique().tolist() == [2.5]  # e = 1, e_ref = 2, gamma = 2
    adapter = erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"), "fast", replace(settings, trajectories=2))
    assert Adapter.load(adapter.save(tmp_path / "a.safetensors")).settings.options == {"bounded.tau": 0.25}
    with pytest.raises(UnlearnError, match=r"bounded\.tau must be a number from 0 to 10, not '11'"):
        changed(settings, {"bounded.tau": "11"})
    with pytest.raises(UnlearnError, match="belongs to bounded, which this method has not; write objective=bounded"):
        changed(METHODS["esd"].settings, {"bounded.tau": "1"})
    monkeypatch.undo()  # as on a machine that has not this objective
    with pytest.raises(UnlearnError, match="was made with the objective 'bounded', which there is none of here"):
        Adapter.load(tmp_path / "a.safetensors")


def test_options_are_typed_by_their_parts_or_by_their_own_name():
    settings = changed(
        METHODS["ema"].settings, dict(map(read_option, ["decay=0.5", "terms=goal, pin", "pin.weight=2"]))
    )
    parts = Parts.of(settings)
    assert parts.average.decay == 0.5 and parts.terms[1].weight == 2.0
    with pytest.raises(UnlearnError, match="name=value"):
        read_option("decay")
    assert all(option.help and option.low <= option.default <= option.most for option in part_options().values())


def test_a_row_of_four_works_is_written_and_read_again(pipe, tmp_path):
    settings = changed(METHODS["robust"].settings, {"iterations": 2, "ema.decay": 0.5, "trajectories": 2})
    adapter = erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"), "robust", settings)
    assert adapter.mode == "robust" and adapter.settings == settings
    assert "unlike the method: ema.decay=0.5" in describe(adapter)
    assert Adapter.load(adapter.save(tmp_path / "a.safetensors")).settings == settings


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("fast", "instant")])
def test_every_method_moves_the_concept_and_leaves_the_model_as_it_was(pipe, draw, name):
    """Few updates, where there are any: that it erases, and how well, is measured in docs/methods.md."""
    before = {key: value.clone() for key, value in pipe.unet.state_dict().items()}
    settings = row(name)
    short = replace(settings, iterations=min(settings.iterations, 12), trajectory_steps=4, trajectories=2)
    adapter = erase(denoiser_for(pipe), Concept("cat"), load_bank("demo"), name, replace(short, learning_rate=1e-2))
    after = pipe.unet.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert all(bool(parameter.isfinite().all()) for parameter in adapter.lora.parameters())
    cat, erased = draw("a photo of a cat", 1), draw("a photo of a cat", 1, Eraser(adapter, 1.0, "on"))
    assert cat[0].image.tobytes() != erased[0].image.tobytes()


def test_a_file_cannot_bring_options_that_nobody_could_type():
    for options in ({"ema.decay": 7.0}, {"adversarial.steps": 2.5}, {"ema.speed": 1.0}):
        with pytest.raises(UnlearnError):
            Parts.of(replace(METHODS["ema"].settings, options=options))
    parts = Parts.of(replace(METHODS["adv_unlearn"].settings, options={"adversarial.steps": 2.0}))
    assert parts.wrappers[0].steps == 2 and isinstance(parts.wrappers[0].steps, int)
