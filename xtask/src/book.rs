//! The book under `docs/` as pages for a browser, by mdBook, which is built once into the cache.

use std::process::Command;

use crate::{cargo, root, run, setup};

/// The version of mdBook; it is a program of its own and linked into nothing of ours.
const VERSION: &str = "0.5.4";

/// Makes `target/book`.
pub(crate) fn make() -> anyhow::Result<()> {
    let home = setup::cache().join(format!("mdbook-{VERSION}"));
    let program = home.join("bin/mdbook");
    if !program.exists() {
        println!("Installing mdbook {VERSION} from crates.io into {}", home.display());
        let mut install = cargo();
        install.args([
            "install",
            "--quiet",
            "--locked",
            "--no-default-features",
            "--version",
            VERSION,
            "--root",
        ]);
        // Nothing of this repository is built.
        run(install.arg(&home).arg("mdbook").env_remove("CARGO_TARGET_DIR"))?;
    }
    run(Command::new(program).arg("build").arg(root().join("docs")))?;
    println!("The book is in target/book/index.html.");
    Ok(())
}
