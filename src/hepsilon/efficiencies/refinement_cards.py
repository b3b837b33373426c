"""Cards of what a training finds behind its network: residuals, refinement, regions of 1/E."""

from __future__ import annotations

from hepsilon.config.records import Record

__all__ = ["RefinementCard", "RegionCard", "ResidualCard", "ResidualsCard"]


class ResidualCard(Record):
    """What is left between responses and efficiencies in bins of one input.

    Attributes
    ----------
    name : str
        Feature, or what follows from features, such as the distance to the nearest object.
    chi2 : float
        Sum over all bins, categories and working points of (passed - expected)^2 over its variance.
    n_bins : int
        Number of terms of the sum.
    p_value : float
        Share of the samples with responses drawn from the efficiencies in which any of the inputs
        has a chi2 that is as many standard deviations too large: it counts all inputs together.
    bin : str
        Bin with the largest deviation, such as ``"delta R 0.4 to 0.6, hadronFlavour 5"``.
    ratio, error : float or None
        Passed over expected in that bin, and its statistical error; None where weights of both
        signs leave no positive number to expect.
    """

    name: str
    chi2: float
    n_bins: int
    p_value: float
    bin: str
    ratio: float | None = None
    error: float | None = None

    @property
    def text(self) -> str:
        """Passed over expected in the bin with the largest deviation."""
        if self.ratio is None:
            return "weights that cancel"
        return f"{self.ratio:.3f} +- {self.error:.3f}"


class ResidualsCard(Record):
    """Test of the efficiency on events that its networks were not trained on.

    Attributes
    ----------
    n_events : int
        Number of these events.
    n_draws : int
        Number of samples with responses drawn from the efficiencies, the null distribution.
    false_alarm : float
        Largest probability with which an efficiency without fault has an input that is significant.
    inputs : tuple of ResidualCard
        Inputs, from the least probable.
    """

    n_events: int
    n_draws: int
    false_alarm: float
    inputs: tuple[ResidualCard, ...]

    @property
    def significant(self) -> tuple[ResidualCard, ...]:
        """Inputs in which the responses are not those that the efficiencies say."""
        return tuple(each for each in self.inputs if each.p_value <= self.false_alarm)

    def __str__(self) -> str:
        """What is significant, in one line."""
        events = f"{self.n_events:,} events the networks were not trained on"
        if not self.significant:
            return f"nothing significant on {events}"
        parts = [
            f"{each.name} (p = {each.p_value:.2g}; passed / expected {each.text} in {each.bin})"
            for each in self.significant
        ]
        return f"on {events}: " + "; ".join(parts)


class RefinementCard(Record):
    """Boosted trees behind the networks, and what they gain out of fold.

    Attributes
    ----------
    kept : bool
        Whether they are a stage of the efficiency.
    gain, error : float
        By how much the loss falls on events that the trees were not fitted to, and its error.
    n_events : int
        Number of these events.
    n_folds : int
        Number of folds, by event.
    rounds : int
        Number of rounds of boosting, chosen out of fold.
    partners : bool
        Whether the trees look at the other objects of an event.
    inputs : tuple of str
        Inputs of the trees, in the order of their columns.
    outputs : int
        Number of outputs: of working points, or that times the number of networks.
    shares : dict of str to float
        Share of the inputs in the gain of the splits, from the largest; those without are left out.
    """

    kept: bool
    gain: float
    error: float
    n_events: int
    n_folds: int
    rounds: int
    partners: bool
    inputs: tuple[str, ...]
    outputs: int
    shares: dict[str, float]

    def __str__(self) -> str:
        """The gain with its error, and whether the trees are kept."""
        text = f"out of {self.n_folds} folds of {self.n_events:,} events"
        by = ", ".join(f"{name} {share:.0%}" for name, share in list(self.shares.items())[:4])
        kept = "kept" if self.kept else "not kept: less than twice the error"
        return (
            f"loss {-self.gain:+.5f} +- {self.error:.5f} {text}, {self.rounds} rounds of trees "
            + f"({by}), " * bool(by)
            + kept
        )


class RegionCard(Record):
    """A region of a task of events, for the inversion of the efficiency.

    Attributes
    ----------
    variable : str
        ``"E"``, the predicted efficiency, or a feature such as ``"pt smallest"``.
    low, high : float
        Bounds of the region.
    available : float
        Sum of the weights of the events that were there.
    expected : float
        Sum of ``w / E`` of those that passed: what the inversion makes of them.
    error : float
        Statistical error of ``expected``: ``sqrt(sum((1 - E) / E w^2))``.
    training_error : float
        The same of all training events, over the sum of their weights: no training on this sample
        can know the sum of 1/E in the region better.
    n_events, n_training : int
        Numbers of events: of those that were compared, and of the training.
    """

    variable: str
    low: float
    high: float
    available: float
    expected: float
    error: float
    training_error: float
    n_events: int
    n_training: int

    def __str__(self) -> str:
        """Expected against available events, and the irreducible error."""
        ratio, error = self.expected / self.available, self.error / abs(self.available)
        return (
            f"expected / available {ratio:.4f} +- {error:.4f} of {self.n_events:,} events, "
            f"irreducible {self.training_error:.2%} ({self.n_training:,} training events)"
        )
