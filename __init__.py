"""ComfyUI's door: the pack's nodes, and nothing else. Pytest, which imports this file by its path, finds it shut."""

if __package__:
    from .nodes import WEB_DIRECTORY, comfy_entrypoint

    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
