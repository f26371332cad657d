//! Health, metrics and the HTTP front door over the engine facade.
