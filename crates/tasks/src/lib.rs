//! Named task groups: owner, bound, cancellation, drain, gauges, leak check.
