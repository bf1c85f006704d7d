//! What fuzzing left: the corpus, and every input that once broke a law.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use laws::LAWS;

/// The files of a law in one of the folders below `fuzz`.
fn inputs(folder: &str, law: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz")
        .join(folder)
        .join(law);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with(".gitkeep"))
        .collect();
    files.sort();
    files
}

#[test]
fn no_kept_input_breaks_its_law() {
    let mut broken = Vec::new();
    for (name, law) in LAWS {
        let corpus = inputs("corpus", name);
        assert!(!corpus.is_empty(), "the corpus of `{name}` is gone");
        for file in corpus.into_iter().chain(inputs("regressions", name)) {
            let bytes = fs::read(&file).unwrap();
            if catch_unwind(|| law(&bytes)).is_err() {
                broken.push(file.display().to_string());
            }
        }
    }
    assert!(
        broken.is_empty(),
        "these inputs break their law: {broken:#?}"
    );
}

#[test]
fn every_law_has_a_fuzz_target_and_a_corpus_and_nothing_else_has() {
    let names = |folder: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../fuzz")
            .join(folder);
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        names.sort();
        names
    };
    let mut laws: Vec<&str> = LAWS.iter().map(|(name, _)| *name).collect();
    laws.sort_unstable();
    for folder in ["fuzz_targets", "corpus", "regressions"] {
        assert_eq!(names(folder), laws, "{folder}");
    }
}
