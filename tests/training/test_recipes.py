from __future__ import annotations

import pytest

from hepsilon.config import ModelConfig, TrainingConfig
from hepsilon.training import recipe


@pytest.mark.parametrize("architecture", ["gnn", "mlp"])
def test_paper_preset_is_the_papers_training(architecture):
    """Batches of 5000 events, 40 epochs of which the best is kept (Appendix C)."""
    model = ModelConfig(architecture=architecture, preset="paper")
    full = recipe(model, TrainingConfig(), 1_500_000)
    assert (full.batch_events, full.epochs, full.mu) == (5000, 40, 1.0)
    assert full.patience >= full.epochs


def test_configuration_wins_over_the_preset():
    training = TrainingConfig(epochs=3, learning_rate=0.5, batch_events=17, ema=0.0, mu=2.0)
    full = recipe(ModelConfig(architecture="gnn"), training, 1000)
    for name, value in training.model_dump(exclude_none=True).items():
        assert getattr(full, name) == value


@pytest.mark.parametrize(("n_events", "size"), [(100, 32), (60_000, 200), (10_000_000, 512)])
def test_default_batch_gives_hundreds_of_steps(n_events, size):
    assert recipe(ModelConfig(architecture="gnn"), TrainingConfig(), n_events).batch_events == size


def test_nothing_is_left_open():
    full = recipe(ModelConfig(architecture="gnn"), TrainingConfig(), 1000)
    assert None not in full.model_dump().values()


PRODUCT = ModelConfig(architecture="product")


@pytest.mark.parametrize(("n_events", "size"), [(100, 32), (90_000, 100), (10_000_000, 1000)])
def test_product_preset_has_more_steps_and_larger_batches(n_events, size):
    assert recipe(PRODUCT, TrainingConfig(), n_events).batch_events == size


def test_product_preset_averages_its_weights_and_decays_what_is_added():
    """Its factors do not decay (see :mod:`hepsilon.training.vectors`), the other networks do."""
    full, fast = (
        recipe(model, TrainingConfig(), 90_000)
        for model in (PRODUCT, ModelConfig(architecture="gnn"))
    )
    assert full.ema > fast.ema
    assert (full.weight_decay, full.l1, full.l2) == (0.4, 0.0, 0.0)
    assert None not in full.model_dump().values()


def test_configuration_wins_over_the_product_preset():
    training = TrainingConfig(epochs=3, weight_decay=0.5, batch_events=17, ema=0.0, l1=0.1, l2=0.2)
    full = recipe(PRODUCT, training, 1000)
    for name, value in training.model_dump(exclude_none=True).items():
        assert getattr(full, name) == value
    assert full.learning_rate == recipe(PRODUCT, TrainingConfig(), 1000).learning_rate


@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_networks_of_events_train_as_those_of_objects(preset):
    """But for the product, the recipe is that of the preset."""
    models = (ModelConfig(architecture=name, preset=preset) for name in ("mlp", "gnn"))
    first, second = (recipe(model, TrainingConfig(), 1000) for model in models)
    assert first == second
