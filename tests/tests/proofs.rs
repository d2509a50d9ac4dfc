//! Proofs and measurements that documents name take too long to be run with every change; that what they are called exists is seen here.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// The words of each command in a document that begins so.
fn named<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    let inline = text.split('`').skip(1).step_by(2);
    let shown = text.lines().filter_map(|line| line.strip_prefix("    "));
    let all = inline
        .chain(shown)
        .filter(move |line| line.starts_with(start));
    all.map(|line| {
        let words = line.split_whitespace();
        words.take_while(|word| !word.starts_with('#')).collect()
    })
}

/// What a package has to say in Rust, with the names of its files.
fn sources(folder: &Path, text: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, text)?;
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let name = path.file_stem().unwrap_or_default().display();
            text.push_str(&format!("mod {name};\n"));
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// Whether each part of a filter of `cargo test` is the name, or a part of it, of a function or module.
fn is_there(filter: &str, code: &str) -> bool {
    filter
        .split("::")
        .filter(|part| !part.is_empty())
        .all(|part| {
            code.lines().any(|line| {
                let line = line.trim_start().trim_start_matches("pub ");
                let line = line.trim_start_matches("async ");
                (line.starts_with("fn ") || line.starts_with("mod ")) && line.contains(part)
            })
        })
}

/// That the package, target and tests of a `cargo` command are there.
fn check(root: &Path, words: &[&str]) -> Result<()> {
    let after = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at + 1).copied()
    };
    let folder = match after("-p") {
        Some("p2pd") => "daemon",
        Some("p2pctl") => "ctl",
        Some(package) => package.strip_prefix("p2p-").context("a package")?,
        None => "tests",
    };
    let folder = root.join(folder);
    for (option, place) in [
        ("--test", "tests"),
        ("--bin", "src/bin"),
        ("--bench", "benches"),
    ] {
        let Some(name) = after(option) else { continue };
        let places = [format!("{name}.rs"), format!("{name}/main.rs")];
        let mut places = places.iter().map(|file| folder.join(place).join(file));
        ensure!(places.any(|place| place.exists()), "there is no {name}");
    }
    // It stands behind the target.
    let filter = after(after("--test").unwrap_or("--lib"));
    let filter = filter.filter(|word| words[1] == "test" && !word.starts_with('-'));
    if let Some(filter) = filter {
        let mut code = String::new();
        sources(&folder, &mut code)?;
        ensure!(is_there(filter, &code), "nothing is called {filter}");
    }
    Ok(())
}

#[test]
fn what_documents_name_exists() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for entry in fs::read_dir(root.join("docs"))? {
        files.push(entry?.path());
    }
    let mut seen = 0;
    for file in files {
        let name = file.display();
        let text = fs::read_to_string(&file)?;
        for words in named(&text, "cargo ") {
            seen += 1;
            check(&root, &words).with_context(|| format!("{name}: {}", words.join(" ")))?;
        }
        for start in ["tests/", "packaging/", ".ci/"] {
            for words in named(&text, start) {
                seen += 1;
                ensure!(root.join(words[0]).exists(), "{name}: no {}", words[0]);
            }
        }
    }
    ensure!(seen > 30, "{seen} commands");
    Ok(())
}
