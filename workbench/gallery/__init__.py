"""Campaigns that ship: the paper's workflows and the science campaigns, each under a name.

`resolve` turns ``"NAME"`` or ``"NAME?key=value&..."`` into a `Choice` that builds the campaign; `list_gallery` tells
what there is.
"""

from __future__ import annotations

from .registry import Choice, Entry, Parameter, list_gallery, resolve

__all__ = ["Choice", "Entry", "Parameter", "list_gallery", "resolve"]
