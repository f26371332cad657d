//! The log over a simulated disk that fails in every way it can, and over the real one.

mod basics;
mod damage;
mod faults;
mod full;
mod group;
mod harness;
