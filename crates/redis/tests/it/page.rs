//! The reference page, and that it does not promise what nobody has tried.

use std::path::Path;

use crate::script::tested_commands;

/// Method: `UPDATE=1` writes the page.
#[test]
fn the_reference_page_is_that_of_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("docs/reference/redis-commands.md");
    let page = tessera_redis::reference_page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page, "run the test with UPDATE=1");
}

#[test]
fn every_supported_command_has_a_test() {
    let tested = tested_commands();
    let missing: Vec<String> = tessera_redis::supported_commands()
        .filter(|name| !tested.contains(name))
        .collect();
    assert!(missing.is_empty(), "no test of: {}", missing.join(", "));
}
