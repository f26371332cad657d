//! Hierarchical lock manager: who may use a resource now, who waits, who is the victim.
