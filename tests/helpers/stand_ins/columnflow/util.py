"""Helpers by their names and arguments in columnflow."""

import importlib

import correctionlib


def maybe_import(name):
    return importlib.import_module(name)


def load_correction_set(target):
    return correctionlib.CorrectionSet.from_file(str(target))
