//! One value as bytes, without order: what variable columns of rows hold.
