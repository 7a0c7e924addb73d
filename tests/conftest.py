"""What all tests share."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch starts its pool: tiny models crawl on many threads

import torch

torch.set_num_threads(1)
