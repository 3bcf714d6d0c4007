"""Payloads and results: content-addressed files, how values become bytes, and where everything of a campaign lies."""

from .layout import CampaignInfo, Layout
from .store import Store, digest_of

__all__ = ["CampaignInfo", "Layout", "Store", "digest_of"]
