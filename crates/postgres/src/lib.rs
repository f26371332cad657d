//! The PostgreSQL wire protocol over the engine facade.
