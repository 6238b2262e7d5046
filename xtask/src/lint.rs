//! Format and lints: everything that needs no running product.

use crate::{cargo, setup};

/// Checks the whole workspace.
pub(crate) fn run() -> anyhow::Result<()> {
    crate::run(cargo().args(["fmt", "--all", "--check"]))?;
    let mut clippy = cargo();
    clippy.args(["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    if let Some(node) = setup::node_dir()? {
        clippy.env("PATH", setup::path_with(&node));
    }
    crate::run(&mut clippy)
}
