//! Test support: servers in a folder of their own, leak checks, clients.
