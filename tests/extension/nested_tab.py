"""Serves the tab inside another page, as web UIs do, with whatever gradio this interpreter has: PORT FOLDER."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import gradio as gr  # noqa: E402
import torch  # noqa: E402
from extension_parts import part  # noqa: E402

from lora_unlearn.hosts.checkpoints import load_pipeline  # noqa: E402


def main() -> None:
    torch.set_num_threads(1)
    port, folder = int(sys.argv[sys.argv.index("--port") + 1]), Path(sys.argv[1])
    host = part("standalone.host").PipelineHost(load_pipeline("demo"), "demo", folder)
    inner = part("tab").build(part("studio").Studio(host), hint="Switch it on under txt2img.")
    with gr.Blocks(analytics_enabled=False) as page, gr.Tabs():
        with gr.TabItem("txt2img"):
            gr.Textbox(label="another page")
        with gr.TabItem("Erase concept"):
            inner.render()
    part("compat").queue(page)
    page.launch(server_port=port, share=False, quiet=True)


if __name__ == "__main__":
    main()
