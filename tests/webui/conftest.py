"""Real web UIs, each started once, headless, on the CPU, with the demo model and this extension; all by HTTP.

Each runs in its own interpreter, the tests in any that has the project's core. A host that is missing is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from webui_server import KINDS, Server, furnish

FORKS = {"reforge", "neo"}
"""Hosts that share most of their code with another one."""
FIRST = {
    "test_what_is_off_changes_no_byte",
    "test_a_closed_gate_changes_no_byte",
    "test_an_open_gate_takes_the_cats_away",
    "test_strength_changes_the_picture_step_by_step",
    "test_an_open_gate_at_strength_one_is_the_eraser_as_an_ordinary_lora",
    "test_every_picture_of_a_batch_has_a_decision_of_its_own",
    "test_an_infotext_brings_the_settings_back",
    "test_an_infotext_brings_the_settings_back_by_the_api",
    "test_the_demo_model_has_the_same_name_and_layers_in_every_host",
    "test_prompts_states_and_predictions_are_those_of_every_host",
    "test_prompts_are_read_with_the_users_clip_skip",
    "test_words_that_brackets_weigh_are_heard_as_they_are",
    "test_the_preset_thorough_erases_what_it_is_asked_for_and_nothing_else",
    "test_the_tabs_own_pictures_are_those_of_the_page",
    "test_gradients_reach_the_adapter",
    "test_a_unet_that_comes_to_a_card_for_the_training_has_gradients",
    "test_a_failure_in_the_middle_leaves_the_model_as_it_was",
    "test_nothing_is_left_on_the_model_between_pictures",
    "test_hires_fix_is_erased_in_both_passes",
    "test_img2img_and_inpainting",
    "test_prompts_joined_by_and",
    "test_other_loras_stay_at_work",
    "test_a_grid_over_eraser_strength_and_gate",
    "test_a_training_erases_and_leaves_every_picture",
    "test_stop_keeps_what_there_is_and_resume_ends_it",
    "test_the_hosts_own_interrupt_stops_a_training",
    "test_loras_of_the_last_picture_do_not_colour_a_training",
    "test_an_exported_file_that_is_written_again_is_taken_up",
    "test_the_routes_are_described_where_the_hosts_are",
    "test_prompts_are_what_the_entry_layer_is_given",
    "test_gradients_of_a_transformer_are_those_of_small_steps",
    "test_a_transformer_is_erased_from_and_draws_as_before",
    "test_an_eraser_of_a_transformer_is_an_ordinary_lora",
    "test_a_transformer_that_is_not_known_gets_one_sentence",
    "test_layers_that_take_no_eraser_get_one_sentence",
    "test_a_training_on_a_transformer_learns_and_leaves_every_picture",
    "test_a_gate_may_ask_a_transformer_about_prompts_of_other_lengths",
}
"""What a fork may break by itself. There the other tests, which also run elsewhere, count as slow."""
MISSING = {name: reason for name, kind in KINDS.items() if (reason := kind.missing())}


def pytest_report_header() -> list[str]:
    """Say at the top which hosts there are, also in a quiet run."""
    return [f"{kind.name}: {MISSING.get(name) or kind.home}" for name, kind in KINDS.items()]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what a fork runs in the slow tier alone."""
    for item in items:
        host = getattr(item, "callspec", None) and item.callspec.params.get("server")
        if host in FORKS and item.originalname not in FIRST:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", params=list(KINDS))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running web UI with the demo model chosen."""
    if request.param in MISSING:
        pytest.skip(MISSING[request.param])
    data = tmp_path_factory.mktemp(request.param)
    furnish(data)
    running = Server(KINDS[request.param], data)
    try:
        running.wait()
        running.draw("a photo of a dog")  # Forge loads the model now
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def cat(server: Server) -> str:
    """The name of an eraser of cats, made by the extension itself."""
    return made(server, "cat")


@pytest.fixture(scope="session")
def dog(server: Server) -> str:
    """The same for dogs."""
    return made(server, "dog")


def made(server: Server, concept: str, preset: str = "quick", **more: object) -> str:
    """Erase a concept by the extension's route; the eraser's name."""
    answer = server.call("/lora-unlearn/v1/erase", {"concept": concept, "preset": preset, **more})
    state = server.wait_for_job()
    assert state["phase"] == "done", state
    return answer["name"]


@pytest.fixture(scope="session")
def seen() -> Callable[[list[np.ndarray]], list[str]]:
    """What the demo's judge sees on pictures."""
    from lora_unlearn.demo.judge import LABELS, load_judge

    network = load_judge()

    def see(pictures: list[np.ndarray]) -> list[str]:
        stack = torch.from_numpy(np.stack(pictures)).movedim(-1, 1).float() / 255
        with torch.no_grad():
            return [LABELS[index] for index in network(stack)["thing"].argmax(dim=1).tolist()]

    return see
