"""The tab that erases, for gradio hosts: one code base for A1111, Forge and the standalone app.

`host.py` is what a host offers, `studio.py` what happens, `tab.py` what is seen; `standalone/` is the host that needs
no other program. A host loads this folder by its path under a name of its own, or finds it as `lora_unlearn.extension`;
imports within it are relative, those of the core absolute.
"""
