//! The `racktick` program under test, built here so that one command is enough.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("this package is two folders below the root")
        .into()
}

/// Builds the program in the profile of this one, and returns where it is: beside this one.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("which program is this?")?;
    let folder = own.parent().context("this program lies in no folder")?;
    let program = folder.join("racktick");
    // Set by `cargo run`; without it, what is there is used.
    if let Some(cargo) = std::env::var_os("CARGO") {
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            None | Some("debug") => "dev",
            Some(profile) => profile,
        };
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--package", "cli", "--profile", profile])
            .current_dir(workspace())
            .status()
            .context("cargo cannot be run")?;
        ensure!(status.success(), "racktick does not build");
    }
    ensure!(
        program.is_file(),
        "{} is missing: run this with `cargo run --release -p chaos`",
        program.display()
    );
    Ok(program)
}
