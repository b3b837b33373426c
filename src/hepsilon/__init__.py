"""hepsilon"""
