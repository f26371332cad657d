//! Runs or completes the files in `files/`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use sqllogictest::{Runner, default_normalizer, default_validator, strict_column_validator};

use crate::Over;
use crate::database::Database;

/// A file that takes longer hangs.
const FILE_WITHIN: Duration = Duration::from_secs(180);
/// One after another in one text: the names of settings that differ become labels for `skipif`.
const SHORT_PATH_OFF: &str = "tessera.short_path=off";

#[derive(Args)]
pub(crate) struct SltArguments {
    /// Only files whose path contains this text.
    filter: Option<String>,
    /// Writes the answers into the files instead of comparing.
    #[arg(long)]
    complete: bool,
    /// What carries the statements.
    #[arg(long, value_enum, default_value_t = Over::Engine)]
    over: Over,
    /// Settings for every session, `name=value`.
    #[arg(long = "set")]
    settings: Vec<String>,
}

/// What no other server has: keys and documents in SQL.
const OURS_ALONE: &str = "models/";

/// Runs all files that match; false if one failed.
pub(crate) async fn run(arguments: &SltArguments) -> Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("files");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    if let Some(filter) = &arguments.filter {
        files.retain(|file| shown(&root, file).contains(filter.as_str()));
    }
    if files.is_empty() {
        bail!("no file matches");
    }
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for file in &files {
        let began = Instant::now();
        let name = shown(&root, file);
        if arguments.over == Over::Reference && name.starts_with(OURS_ALONE) {
            skipped += 1;
            println!("skipped {name}  the reference has no such relations");
            continue;
        }
        match run_file(file, arguments).await {
            Ok(()) => {
                passed += 1;
                println!("ok      {name}  {:.2} s", began.elapsed().as_secs_f64());
            }
            Err(error) => {
                failed += 1;
                println!("FAILED  {name}\n{error:#}");
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

async fn run_file(file: &Path, arguments: &SltArguments) -> Result<()> {
    let database = Database::open(arguments.over).await?;
    let outcome = {
        let (database, settings) = (Arc::clone(&database), Arc::new(arguments.settings.clone()));
        let mut runner = Runner::new(move || {
            let (database, settings) = (Arc::clone(&database), Arc::clone(&settings));
            async move { database.connect(&settings).await }
        });
        runner.with_column_validator(strict_column_validator);
        if arguments
            .settings
            .iter()
            .any(|setting| setting == SHORT_PATH_OFF)
        {
            runner.add_label("short_path_off");
        }
        let work = async {
            if arguments.complete {
                let columns = strict_column_validator;
                let updated = runner
                    .update_test_file(file, " ", default_validator, default_normalizer, columns)
                    .await;
                updated.map_err(|error| anyhow::anyhow!("{error}"))
            } else {
                let run = runner.run_file_async(file).await;
                run.map_err(|error| anyhow::anyhow!("{}", error.display(false)))
            }
        };
        let outcome = tokio::time::timeout(FILE_WITHIN, work).await;
        runner.shutdown_async().await;
        outcome.unwrap_or_else(|_| bail!("no end within {FILE_WITHIN:?}"))
    };
    let database = Arc::into_inner(database).context("the runner still holds the database")?;
    let closed = database.close().await;
    outcome?;
    closed
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
    Ok(())
}

fn shown(root: &Path, file: &Path) -> String {
    file.strip_prefix(root)
        .unwrap_or(file)
        .display()
        .to_string()
}
