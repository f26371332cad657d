//! COPY formats.
