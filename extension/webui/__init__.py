"""The tab's and the accordion's host: A1111 1.10, and the forks that kept its scripts and callbacks (Forge and others).

`model.py` and `names.py` say what is loaded, `denoiser.py` is the core's Denoiser over it, `guide.py` and `calls.py`
are the core's Guidance in the host's sampling, `script.py` the accordion. `touched.py` lists every attribute of the
hosts that is used here.
"""
