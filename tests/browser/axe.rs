//! The automatic checker for accessibility: `axe-core`, from the package registry, once.

use std::path::Path;
use std::process::Stdio;

use testkit::workspace;
use tokio::process::Command;

/// Which one. What it finds differs between versions.
const VERSION: &str = "4.14.1";

/// Runs it in a page that knows it, and returns what it finds.
pub(crate) const CHECK: &str = "
    const found = await axe.run(document, { resultTypes: ['violations'] });
    return found.violations.map(({ id, help, nodes }) => ({
        id, help, where: nodes.map((node) => `${node.html.slice(0, 200)}: ${node.failureSummary}`).slice(0, 5),
    }));
";

/// Its text, to run in a page.
pub(crate) async fn checker() -> String {
    let folder = workspace()
        .join(".cache")
        .join(format!("axe-core-{VERSION}"));
    let script = folder.join("package/axe.min.js");
    if !script.is_file() {
        fetch(&folder).await;
    }
    tokio::fs::read_to_string(script)
        .await
        .expect("the checker can be read")
}

async fn fetch(folder: &Path) {
    let here = tempfile::tempdir_in(workspace().join(".cache")).expect("a folder to fetch to");
    let package = format!("axe-core@{VERSION}");
    run(here.path(), "npm", &["pack", "--silent", &package]).await;
    run(
        here.path(),
        "tar",
        &["xzf", &format!("axe-core-{VERSION}.tgz")],
    )
    .await;
    // Another test may have been faster.
    if tokio::fs::rename(here.path(), folder).await.is_err() {
        assert!(folder.is_dir(), "{} cannot be made", folder.display());
    }
}

async fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let ended = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap_or_else(|error| {
            panic!("{program} does not start: {error}; `tests/run` installs it")
        });
    assert!(ended.status.success(), "{program} {arguments:?}: {ended:?}");
}
