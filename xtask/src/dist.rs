//! Packages: a `.deb` and a tarball of the agent, and a `.deb` and a tarball of the server with the agent's packages in
//! it, so that a server can give its machines the agent that fits it.
//!
//! The same sources give the same bytes: every time is that of the last commit, every file is root's, names are sorted.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::{root, run, setup};

/// What is packed, and where the packages go.
#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// Where the packages go.
    #[arg(long, default_value = "target/dist")]
    pub(crate) out: PathBuf,
    /// The version, when it is not the workspace's.
    #[arg(long)]
    pub(crate) version: Option<String>,
    /// Packs the debug builds that are there: for tests of the packages themselves.
    #[arg(long, hide = true)]
    pub(crate) debug: bool,
}

const TOOLS: &[setup::Need] =
    &[("dpkg-deb", "dpkg"), ("readelf", "binutils"), ("strip", "binutils"), ("tar", "tar"), ("gzip", "gzip")];

/// A file of a package: where it goes, its mode, what is in it.
type Entry = (String, u32, Vec<u8>);

/// Makes all packages.
pub(crate) fn run_with(options: &Options) -> anyhow::Result<()> {
    setup::packages(TOOLS)?;
    let out = root().join(&options.out);
    fs::create_dir_all(&out)?;
    let binaries =
        if options.debug { crate::debug_dir() } else { crate::release(&["sekisho", "sekisho-agent"])? };
    let work = tempfile::tempdir()?;
    let build = Build {
        version: options.version.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
        architecture: architecture()?,
        epoch: last_commit()?,
        work: work.path(),
        out: &out,
        quick: options.debug,
    };
    let agent = build.agent(&build.stripped(&binaries.join("sekisho-agent"))?)?;
    build.server(&build.stripped(&binaries.join("sekisho"))?, &agent)?;
    build.digests()
}

/// Debian's name of this machine's architecture.
fn architecture() -> anyhow::Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("there are no packages for {other}"),
    }
}

/// The time of the last commit, Unix seconds.
fn last_commit() -> anyhow::Result<String> {
    let output = Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()).output()?;
    let text = String::from_utf8(output.stdout)?.trim().to_owned();
    // A source tree without its history.
    Ok(if text.is_empty() { "0".to_owned() } else { text })
}

struct Build<'a> {
    version: String,
    architecture: &'static str,
    epoch: String,
    work: &'a Path,
    out: &'a Path,
    /// Rather soon than small.
    quick: bool,
}

impl Build<'_> {
    /// The program without its symbols, which are of no use on a machine.
    fn stripped(&self, program: &Path) -> anyhow::Result<PathBuf> {
        let to = self.work.join(program.file_name().context("a program has a name")?);
        fs::copy(program, &to).with_context(|| program.display().to_string())?;
        run(Command::new("strip").arg("--strip-all").arg(&to))?;
        Ok(to)
    }

    fn agent(&self, program: &Path) -> anyhow::Result<[PathBuf; 2]> {
        let unit = packaging("agent/sekisho-agent.service")?;
        let mut files = vec![
            ("usr/bin/sekisho-agent".to_owned(), 0o755, fs::read(program)?),
            ("usr/lib/systemd/system/sekisho-agent.service".to_owned(), 0o644, unit.clone()),
        ];
        files.extend(documents("sekisho-agent")?);
        let deb = Deb {
            name: "sekisho-agent",
            depends: format!("libc6 (>= {}), nftables", glibc(program)?),
            summary: "makes a machine part of a Sekisho installation",
            text: "The agent joins a Sekisho server by a one-time string, reports facts about the machine and\n \
                   applies what the server wants of it: security groups in the kernel, proved and repaired.",
            scripts: "agent",
            settings: &[],
        };
        let deb = self.deb(&deb, &files)?;
        let files = vec![
            ("sekisho-agent".to_owned(), 0o755, fs::read(program)?),
            ("sekisho-agent.service".to_owned(), 0o644, unit),
            ("install.sh".to_owned(), 0o755, packaging("agent/install.sh")?),
            ("LICENSE".to_owned(), 0o644, fs::read(root().join("LICENSE"))?),
        ];
        Ok([deb, self.tarball("sekisho-agent", &files)?])
    }

    fn server(&self, program: &Path, agent: &[PathBuf]) -> anyhow::Result<()> {
        let unit = packaging("server/sekisho.service")?;
        let settings = settings(program)?;
        let bash = output(Command::new(program).args(["completions", "bash"]))?;
        let mut files = vec![
            ("usr/bin/sekisho".to_owned(), 0o755, fs::read(program)?),
            ("usr/lib/systemd/system/sekisho.service".to_owned(), 0o644, unit.clone()),
            ("usr/share/bash-completion/completions/sekisho".to_owned(), 0o644, bash),
            ("etc/sekisho/sekisho.toml".to_owned(), 0o640, settings.clone()),
        ];
        for package in agent {
            let name = package.file_name().unwrap_or_default().display();
            files.push((format!("usr/share/sekisho/agents/{name}"), 0o644, fs::read(package)?));
        }
        files.extend(documents("sekisho")?);
        let deb = Deb {
            name: "sekisho",
            depends: format!("libc6 (>= {}), passwd", glibc(program)?),
            summary: "secures virtual machines wherever they run",
            text: "Sekisho speaks the Azure Resource Manager protocol, so that az, the SDKs and templates drive it,\n \
                   and does the work on any Linux machine with its own agent. This is the server with its portal.",
            scripts: "server",
            settings: &["/etc/sekisho/sekisho.toml"],
        };
        self.deb(&deb, &files)?;
        let mut files = vec![
            ("sekisho".to_owned(), 0o755, fs::read(program)?),
            ("sekisho.service".to_owned(), 0o644, unit),
            ("sekisho.toml".to_owned(), 0o644, settings),
            ("LICENSE".to_owned(), 0o644, fs::read(root().join("LICENSE"))?),
        ];
        for package in agent {
            let name = package.file_name().unwrap_or_default().display();
            files.push((format!("agents/{name}"), 0o644, fs::read(package)?));
        }
        self.tarball("sekisho", &files)?;
        Ok(())
    }

    fn deb(&self, deb: &Deb<'_>, files: &[Entry]) -> anyhow::Result<PathBuf> {
        let tree = self.work.join(format!("{}.tree", deb.name));
        put(&tree, files)?;
        let size: usize = files.iter().map(|(_, _, bytes)| bytes.len().div_ceil(1024)).sum();
        let control = format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: The Sekisho authors <sekisho@localhost>\n\
             Installed-Size: {size}\nDepends: {}\nSection: admin\nPriority: optional\nDescription: {}\n {}\n",
            deb.name, self.version, self.architecture, deb.depends, deb.summary, deb.text
        );
        let mut own: Vec<Entry> = vec![("control".to_owned(), 0o644, control.into_bytes())];
        for script in ["postinst", "prerm", "postrm"] {
            own.push((script.to_owned(), 0o755, packaging(&format!("{}/{script}", deb.scripts))?));
        }
        if !deb.settings.is_empty() {
            own.push(("conffiles".to_owned(), 0o644, (deb.settings.join("\n") + "\n").into_bytes()));
        }
        put(&tree.join("DEBIAN"), &own)?;
        let path = self.out.join(format!("{}_{}_{}.deb", deb.name, self.version, self.architecture));
        run(Command::new("dpkg-deb")
            .args(["--root-owner-group", if self.quick { "-Znone" } else { "-Zxz" }, "--build"])
            .arg(&tree)
            .arg(&path)
            .env("SOURCE_DATE_EPOCH", &self.epoch)
            .stdout(Stdio::null()))?;
        Ok(path)
    }

    fn tarball(&self, name: &str, files: &[Entry]) -> anyhow::Result<PathBuf> {
        let stem = format!("{name}_{}_{}", self.version, self.architecture);
        put(&self.work.join(&stem), files)?;
        let path = self.out.join(format!("{stem}.tar.gz"));
        run(Command::new("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"])
            .arg(format!("--mtime=@{}", self.epoch))
            .arg(format!("--use-compress-program=gzip -{}n", if self.quick { 1 } else { 9 }))
            .arg("-cf")
            .arg(&path)
            .arg("-C")
            .arg(self.work)
            .arg(&stem))?;
        Ok(path)
    }

    /// `SHA256SUMS` of everything in the directory.
    fn digests(&self) -> anyhow::Result<()> {
        let names: BTreeSet<String> = fs::read_dir(self.out)?
            .flatten()
            .map(|entry| entry.file_name().display().to_string())
            .filter(|name| name.ends_with(".deb") || name.ends_with(".tar.gz"))
            .collect();
        let sums = output(Command::new("sha256sum").args(&names).current_dir(self.out))?;
        fs::write(self.out.join("SHA256SUMS"), &sums)?;
        std::io::stdout().write_all(&sums)?;
        Ok(())
    }
}

/// What a Debian package is beside its files.
struct Deb<'a> {
    name: &'a str,
    depends: String,
    summary: &'a str,
    text: &'a str,
    /// The directory of its scripts under `packaging`.
    scripts: &'a str,
    /// Files that the administrator changes.
    settings: &'a [&'a str],
}

fn packaging(name: &str) -> anyhow::Result<Vec<u8>> {
    let path = root().join("packaging").join(name);
    fs::read(&path).with_context(|| path.display().to_string())
}

fn put(dir: &Path, files: &[Entry]) -> anyhow::Result<()> {
    for (name, mode, bytes) in files {
        let path = dir.join(name);
        let parent = path.parent().context("a file has a directory")?;
        fs::create_dir_all(parent)?;
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
    }
    Ok(())
}

/// What Debian wants every package to say.
fn documents(name: &str) -> anyhow::Result<Vec<Entry>> {
    let dir = format!("usr/share/doc/{name}");
    let licence = fs::read(root().join("LICENSE"))?;
    let changes = fs::read(root().join("CHANGELOG.md"))?;
    Ok(vec![(format!("{dir}/copyright"), 0o644, licence), (format!("{dir}/CHANGELOG.md"), 0o644, changes)])
}

/// Every setting with its meaning, none of them set.
fn settings(program: &Path) -> anyhow::Result<Vec<u8>> {
    let nowhere = ["--config", "/dev/null", "server", "--print-config"];
    let text = String::from_utf8(output(Command::new(program).args(nowhere).env_clear())?)?;
    let mut out = "# Settings of the Sekisho server. What stands here is the default; take the mark away to change it.\n"
        .to_owned();
    for line in text.lines() {
        let line = line.strip_suffix("  # default").unwrap_or(line);
        out.push_str(&if line.starts_with('#') { format!("\n{line}\n") } else { format!("#{line}\n") });
    }
    Ok(out.into_bytes())
}

/// The version of the C library that a program needs.
fn glibc(program: &Path) -> anyhow::Result<String> {
    let text = String::from_utf8(output(Command::new("readelf").args(["-V", "-W"]).arg(program))?)?;
    let newest = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))
        .filter_map(|word| word.strip_prefix("GLIBC_"))
        .filter_map(|v| v.split('.').map(|n| n.parse().ok()).collect::<Option<Vec<u32>>>())
        .max()
        .context("the program needs no C library")?;
    Ok(newest.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
}

fn output(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let shown = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context(shown.clone())?;
    if !output.status.success() {
        bail!("{shown} failed ({})", output.status);
    }
    Ok(output.stdout)
}
