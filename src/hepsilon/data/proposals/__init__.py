"""A configuration proposed for a file, from what its own columns hold.

``record`` is the proposal, ``choice`` makes it, ``description`` and ``edges`` fill in branches,
features and bins, and ``text`` writes it as TOML for people who edit it.
"""

from hepsilon.data.proposals.choice import propose
from hepsilon.data.proposals.record import Proposal
from hepsilon.data.proposals.text import proposal_text

__all__ = ["Proposal", "proposal_text", "propose"]
