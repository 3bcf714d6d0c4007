"""What a campaign amounts to: tables folded from its journal (`tables`), and the HTML report made of them (`html`)."""

from __future__ import annotations

from .rows import (
    ChoiceRow,
    CommandRow,
    EdgeRow,
    Failure,
    ForecastRow,
    Interval,
    MetricPoint,
    NodeRow,
    Progress,
    SetRow,
)
from .series import Grid, Layer, Stack
from .tables import RESOURCES, Tables

__all__ = [
    "RESOURCES",
    "ChoiceRow",
    "CommandRow",
    "EdgeRow",
    "Failure",
    "ForecastRow",
    "Grid",
    "Interval",
    "Layer",
    "MetricPoint",
    "NodeRow",
    "Progress",
    "SetRow",
    "Stack",
    "Tables",
]
