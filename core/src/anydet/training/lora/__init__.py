"""Low-rank adaptation (Hu et al. 2021): which layers get it, and what checkpoints say of them."""
