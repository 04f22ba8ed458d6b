"""Tree-structured Parzen estimator (Bergstra et al., 2011), Optuna's default Bayesian sampler."""

from __future__ import annotations

from optuna.samplers import BaseSampler, TPESampler

from services.sampling import samplers


@samplers.register("tpe")
def tpe(seed: int) -> BaseSampler:
    """Models good and bad trials; the maintainers' defaults (multivariate, constant liar) suit parallel workers."""
    return TPESampler(seed=seed)
