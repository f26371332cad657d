//! Dependencies run down only, and some third-party crates have one home.

use super::{files_below, shown};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Text in a source file that means a socket is opened or accepted.
const SOCKET_NAMES: [&str; 5] = [
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixListener",
    "UnixStream",
];

/// `layers.toml`.
#[derive(Deserialize)]
pub(super) struct Layers {
    layers: BTreeMap<String, u32>,
    beside: Names,
    only: BTreeMap<String, Vec<String>>,
    sockets: Names,
}

#[derive(Deserialize)]
struct Names {
    names: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Manifest {
    package: Package,
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
    #[serde(default, rename = "dev-dependencies")]
    dev_dependencies: BTreeMap<String, toml::Value>,
    #[serde(default, rename = "build-dependencies")]
    build_dependencies: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

pub(super) fn check(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    let layers: Layers =
        toml::from_str(&fs::read_to_string(root.join("layers.toml"))?).context("layers.toml")?;
    let folders = crate_folders(root)?;
    for folder in &folders {
        let file = folder.join("Cargo.toml");
        let manifest: Manifest = toml::from_str(&fs::read_to_string(&file)?)
            .with_context(|| file.display().to_string())?;
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if manifest.package.name != name && manifest.package.name != format!("tessera-{name}") {
            faults.push(format!(
                "{}: package must be tessera-{name}",
                shown(root, &file)
            ));
        }
        check_manifest(&layers, &name, &manifest, faults);
        check_sockets(root, &layers, &name, folder, faults)?;
    }
    let present: BTreeSet<String> = folders
        .iter()
        .filter_map(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()))
        .collect();
    for name in layers.layers.keys() {
        if !present.contains(name) {
            faults.push(format!("layers.toml: {name} is listed and does not exist"));
        }
    }
    Ok(())
}

/// The folders of all crates, xtask too.
pub(super) fn crate_folders(root: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = vec![root.join("xtask")];
    for entry in fs::read_dir(root.join("crates"))? {
        let folder = entry?.path();
        if folder.join("Cargo.toml").is_file() {
            folders.push(folder);
        }
    }
    folders.sort();
    Ok(folders)
}

fn check_manifest(layers: &Layers, name: &str, manifest: &Manifest, faults: &mut Vec<String>) {
    let beside = layers.beside.names.contains(name);
    let own = layers.layers.get(name).copied();
    if own.is_none() && !beside {
        faults.push(format!("layers.toml: {name} is missing"));
        return;
    }
    let shipped = manifest
        .dependencies
        .keys()
        .chain(manifest.build_dependencies.keys());
    let all = shipped.map(|dependency| (dependency, false)).chain(
        manifest
            .dev_dependencies
            .keys()
            .map(|dependency| (dependency, true)),
    );
    for (dependency, for_tests) in all {
        if let Some(allowed) = layers.only.get(dependency)
            && !allowed.iter().any(|allowed| allowed == name)
        {
            faults.push(format!("crates/{name}: must not name {dependency}"));
        }
        let Some(ours) = dependency.strip_prefix("tessera-") else {
            continue;
        };
        if layers.beside.names.contains(ours) {
            if !beside && !for_tests {
                faults.push(format!("crates/{name}: only tests may use {ours}"));
            }
            continue;
        }
        let (Some(own), Some(below)) = (own, layers.layers.get(ours).copied()) else {
            continue;
        };
        if own <= below {
            faults.push(format!(
                "crates/{name} (layer {own}) must not use {ours} (layer {below})"
            ));
        }
    }
}

fn check_sockets(
    root: &Path,
    layers: &Layers,
    name: &str,
    folder: &Path,
    faults: &mut Vec<String>,
) -> Result<()> {
    if layers.sockets.names.contains(name) {
        return Ok(());
    }
    for file in files_below(&folder.join("src"), "rs")? {
        let text = fs::read_to_string(&file)?;
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        if let Some(line) = code
            .into_iter()
            .find(|line| SOCKET_NAMES.iter().any(|name| line.contains(name)))
        {
            faults.push(format!(
                "{}: opens a socket: {}",
                shown(root, &file),
                line.trim()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Layers, Manifest, check_manifest};

    fn check(name: &str, dependencies: &str, expected: &[&str]) {
        let layers: Layers = toml::from_str(
            r#"
            layers = { types = 0, storage = 3, tables = 6 }
            beside = { names = ["testkit"] }
            only = { fjall = ["storage"] }
            sockets = { names = [] }
            "#,
        )
        .unwrap();
        let manifest: Manifest =
            toml::from_str(&format!("package = {{ name = 'x' }}\n{dependencies}")).unwrap();
        let mut faults = Vec::new();
        check_manifest(&layers, name, &manifest, &mut faults);
        assert_eq!(faults, expected);
    }

    #[test]
    fn a_crate_uses_only_what_lies_below_it() {
        check("tables", "[dependencies]\ntessera-storage = '1'", &[]);
        check(
            "storage",
            "[dependencies]\ntessera-tables = '1'",
            &["crates/storage (layer 3) must not use tables (layer 6)"],
        );
        check(
            "storage",
            "[dev-dependencies]\ntessera-storage = '1'",
            &["crates/storage (layer 3) must not use storage (layer 3)"],
        );
    }

    #[test]
    fn a_third_party_crate_stays_in_its_home() {
        check("storage", "[dependencies]\nfjall = '3'", &[]);
        check(
            "tables",
            "[dev-dependencies]\nfjall = '3'",
            &["crates/tables: must not name fjall"],
        );
    }

    #[test]
    fn test_support_is_for_tests() {
        check("tables", "[dev-dependencies]\ntessera-testkit = '1'", &[]);
        check(
            "tables",
            "[dependencies]\ntessera-testkit = '1'",
            &["crates/tables: only tests may use testkit"],
        );
        check("unheard", "", &["layers.toml: unheard is missing"]);
    }
}
