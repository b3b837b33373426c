"""Weight classes: the interface that they meet, as PocketCoffea's sources have it."""

from abc import ABC, ABCMeta, abstractmethod
from dataclasses import dataclass
from typing import ClassVar


@dataclass
class WeightData:
    name: str
    nominal: object
    up: object = None
    down: object = None


class WeightWrapperMeta(ABCMeta):
    weight_classes: ClassVar[dict] = {}

    def __new__(metacls, name, bases, clsdict):
        cls = super().__new__(metacls, name, bases, clsdict)
        if bases and bases[0].__name__ == "WeightWrapper":
            weight_name = clsdict["name"]
            if weight_name in metacls.weight_classes:
                raise ValueError(f"Weight with name {weight_name} already registered")
            metacls.weight_classes[weight_name] = cls
        return cls


class WeightWrapper(ABC, metaclass=WeightWrapperMeta):
    name = "base_weight"
    has_variations = False
    _variations: ClassVar[list] = []

    def __init__(self, params=None, metadata=None):
        self._params = params
        self._metadata = metadata

    @abstractmethod
    def compute(self, events, size, shape_variation): ...

    @property
    def variations(self):
        return self._variations
