"""Frozen values that every other room speaks: ids, resources, specs, edits, events, commands, errors.

Nothing here does anything: no clock, no I/O, no scheduling. Imports the standard library and msgspec only.
"""
