"""How the instruction reaches the answer: the network frozen at one prompt, as a sum of linear paths.

``linearise`` freezes; ``edges`` says which positions each block connects; ``search`` follows every path along them;
``flow`` gives the sums over all paths without following any; ``readout`` what a
path would say on its way; ``trace`` is the one call that puts them together.
"""

from __future__ import annotations

from .edges import Edges, top_k_edges
from .flow import Flow, Receptive, answer_flow, receive
from .forecast import MAX_PATHS, Forecast, check_forecast, forecast
from .linearise import FrozenBlock, FrozenNetwork, linearise
from .readout import Said, path_states, said, source_states
from .search import Found
from .trace import MAX_RANK, MEMORY_BUDGET, SURROGATES, SourceTrace, Trace, Tracer

__all__ = [
    "MAX_PATHS",
    "MAX_RANK",
    "MEMORY_BUDGET",
    "SURROGATES",
    "Edges",
    "Flow",
    "Forecast",
    "Found",
    "FrozenBlock",
    "FrozenNetwork",
    "Receptive",
    "Said",
    "SourceTrace",
    "Trace",
    "Tracer",
    "answer_flow",
    "check_forecast",
    "forecast",
    "linearise",
    "path_states",
    "receive",
    "said",
    "source_states",
    "top_k_edges",
]
