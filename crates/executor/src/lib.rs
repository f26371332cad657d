//! DataFusion providers and operators, PostgreSQL functions, DML, the short path.
