//! The facade: sessions, authorization, statements, background services.
