//! The packages of an rpm system. Its database has a format that only rpm's own library reads, so rpm's program is
//! asked, with fixed arguments and without an environment; and asked again only when the database has changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use sekisho_link::facts::Packages;
use tokio::process::Command;

use super::packages::{Package, named};
use super::program::{self, Limits};

/// Where the program is.
const PROGRAMS: &[&str] = &["/usr/bin/rpm", "/bin/rpm"];
/// Where distributions keep the database.
const DATABASES: &[&str] = &["usr/lib/sysimage/rpm", "var/lib/rpm"];
/// What the database consists of: SQLite, ndb and Berkeley DB.
const FILES: &[&str] = &["rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db", "Packages"];
/// One line a package: name, architecture, epoch, version and release.
const FORMAT: &str = "%{NAME}\\t%{ARCH}\\t%{EPOCH}\\t%{VERSION}-%{RELEASE}\\n";
/// A list of 50,000 packages stays below, and all facts together below a frame of the link.
const LIMITS: Limits = Limits { time: Duration::from_secs(20), bytes: 4 << 20 };
/// A database that could not be read is tried again after this time, changed or not.
const RETRY: Duration = Duration::from_secs(600);

/// What tells one state of the database from another: its files' sizes and times of change.
type Stamp = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// The reader, with what it read last.
pub(super) struct Rpm {
    /// The directory that the program takes for `/`.
    root: Option<PathBuf>,
    programs: &'static [&'static str],
    limits: Limits,
    known: Option<Known>,
}

struct Known {
    stamp: Stamp,
    packages: Packages,
    read: Instant,
}

impl Rpm {
    /// A reader of the machine it runs on.
    pub(super) const fn of_this_machine() -> Self {
        Self { root: None, programs: PROGRAMS, limits: LIMITS, known: None }
    }

    /// What is installed; the manager is `none` where there is no database.
    pub(super) async fn installed(&mut self) -> Packages {
        let Some((database, stamp)) = self.database() else {
            return Packages { manager: "none".to_owned(), ..Packages::default() };
        };
        let fresh = |k: &&Known| k.stamp == stamp && (k.packages.error.is_none() || k.read.elapsed() < RETRY);
        if let Some(known) = self.known.as_ref().filter(fresh) {
            return known.packages.clone();
        }
        let (installed, error) = match self.ask(database).await {
            Ok(text) => {
                let (packages, odd) = parse(&text);
                let odd = (odd > 0).then(|| format!("{odd} lines of rpm's list cannot be read"));
                (named(packages), odd)
            }
            Err(error) => (BTreeMap::new(), Some(error)),
        };
        if let Some(error) = &error {
            tracing::warn!(error, "the list of installed packages is missing or not complete");
        }
        let packages = Packages { manager: "rpm".to_owned(), installed, error };
        self.known = Some(Known { stamp, packages: packages.clone(), read: Instant::now() });
        packages
    }

    /// The first database there is, as the program calls its directory, and its state.
    fn database(&self) -> Option<(PathBuf, Stamp)> {
        let root = self.root.as_deref().unwrap_or(Path::new("/"));
        DATABASES.iter().find_map(|dir| {
            let files = FILES.iter().filter_map(|file| {
                let path = root.join(dir).join(file);
                let meta = std::fs::metadata(&path).ok()?;
                // rpm makes an empty log whenever it reads.
                (meta.len() > 0).then(|| (path, meta.len(), meta.modified().ok()))
            });
            let stamp: Stamp = files.collect();
            (!stamp.is_empty()).then(|| (Path::new("/").join(dir), stamp))
        })
    }

    async fn ask(&self, database: PathBuf) -> Result<String, String> {
        let Some(path) = self.programs.iter().find(|p| Path::new(p).is_file()) else {
            return Err(format!("there is no rpm at {}", self.programs.join(" or ")));
        };
        let mut command = Command::new(path);
        command.env_clear().env("LC_ALL", "C").current_dir("/");
        if let Some(root) = &self.root {
            command.arg("--root").arg(root);
        }
        command.arg("--dbpath").arg(database).args(["-qa", "--queryformat", FORMAT]);
        match program::output(command, b"", self.limits).await {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => Err(format!("{path}: {error}")),
        }
    }
}

/// Packages, and how many lines are none. rpm keeps the keys that sign packages as packages; they are left out.
fn parse(text: &str) -> (Vec<Package>, usize) {
    let (mut packages, mut odd) = (Vec::new(), 0);
    for line in text.lines() {
        match parse_line(line) {
            Some(package) if package.name == "gpg-pubkey" => {}
            Some(package) => packages.push(package),
            None => odd += 1,
        }
    }
    (packages, odd)
}

fn parse_line(line: &str) -> Option<Package> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[name, architecture, epoch, version] = fields.as_slice() else { return None };
    if name.is_empty() || version.is_empty() {
        return None;
    }
    let version = match epoch {
        "0" | "(none)" => version.to_owned(),
        _ => format!("{}:{version}", epoch.parse::<u32>().ok()?),
    };
    Some(Package { name: name.to_owned(), architecture: architecture.to_owned(), version })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::{Command as Blocking, Stdio};

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_or_lose_a_line(text in "([ -~\t\n]|[0-9(none)]\t|\\PC){0,200}") {
            let (packages, odd) = parse(&text);
            let keys = text.lines().filter(|l| l.starts_with("gpg-pubkey\t")).count();
            prop_assert!(packages.len() + odd <= text.lines().count());
            prop_assert!(packages.len() + odd + keys >= text.lines().count());
        }

        #[test]
        fn what_rpm_prints_reads_back(
            name in "[a-z][a-zA-Z0-9+._-]{0,20}", version in "[0-9][a-z0-9.~^]{0,9}-[0-9][a-z0-9.]{0,9}",
            epoch in prop::option::of(0u32..),
        ) {
            let shown = epoch.map_or_else(|| "(none)".to_owned(), |e| e.to_string());
            let (packages, odd) = parse(&format!("{name}\tnoarch\t{shown}\t{version}\n"));
            prop_assert_eq!(odd, 0);
            let expected = epoch.filter(|e| *e > 0).map_or(version.clone(), |e| format!("{e}:{version}"));
            prop_assert_eq!(&packages[0].version, &expected);
            prop_assert_eq!(&packages[0].name, &name);
        }
    }

    /// A root with an rpm database of its own, or `None` after saying why there is none.
    fn root(test: &str) -> Option<tempfile::TempDir> {
        if !nix::unistd::geteuid().is_root() {
            println!("{test}: skipped: not root");
            return None;
        }
        for program in ["/usr/bin/rpm", "/usr/bin/rpmbuild"] {
            if !Path::new(program).exists() {
                println!("{test}: skipped: there is no {program}");
                return None;
            }
        }
        Some(tempfile::tempdir().unwrap())
    }

    fn done(command: &mut Blocking) {
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Builds a package and installs it into the root.
    fn install(root: &Path, name: &str, header: &str) {
        let spec = root.join(format!("{name}.spec"));
        let text = format!(
            "Name: {name}\nVersion: 1.2\nRelease: 3\nSummary: x\nLicense: MIT\nBuildArch: noarch\n{header}\n\
             %description\nx\n%files\n"
        );
        std::fs::write(&spec, text).unwrap();
        let top = format!("_topdir {}", root.join("build").display());
        done(Blocking::new("/usr/bin/rpmbuild").args(["-bb", "--quiet", "--define", &top]).arg(&spec));
        let built = root.join(format!("build/RPMS/noarch/{name}-1.2-3.noarch.rpm"));
        done(
            Blocking::new("/usr/bin/rpm")
                .arg("--root")
                .arg(root)
                .args(["--dbpath", "/var/lib/rpm", "--nodeps", "--justdb", "-i"])
                .arg(built),
        );
    }

    fn reader(root: &Path) -> Rpm {
        Rpm { root: Some(root.to_owned()), ..Rpm::of_this_machine() }
    }

    fn shown(packages: &Packages) -> Vec<(&str, &str)> {
        packages.installed.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()
    }

    #[tokio::test]
    async fn what_rpm_installed_is_listed_and_rpm_is_asked_again_only_after_a_change() {
        let Some(root) = root("what_rpm_installed_is_listed") else { return };
        let root = root.path();
        let mut rpm = reader(root);
        assert_eq!(rpm.installed().await.manager, "none", "no database yet");
        install(root, "plain", "");
        install(root, "aged", "Epoch: 2");
        let first = rpm.installed().await;
        assert_eq!((first.manager.as_str(), first.error.as_deref()), ("rpm", None));
        assert_eq!(shown(&first), [("aged", "2:1.2-3"), ("plain", "1.2-3")]);

        // Without the program only what is known already can be told.
        rpm.programs = &[];
        assert_eq!(rpm.installed().await, first);
        install(root, "late", "");
        assert!(rpm.installed().await.error.is_some_and(|e| e.contains("there is no rpm")));
        let mut rpm = reader(root);
        assert_eq!(shown(&rpm.installed().await).len(), 3);
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_read_is_not_a_machine_without_packages() {
        let Some(root) = root("a_database_that_cannot_be_read") else { return };
        std::fs::create_dir_all(root.path().join("var/lib/rpm")).unwrap();
        std::fs::write(root.path().join("var/lib/rpm/rpmdb.sqlite"), "this is no database".repeat(99))
            .unwrap();
        let packages = reader(root.path()).installed().await;
        assert_eq!(packages.manager, "rpm");
        assert!(packages.error.is_some(), "{packages:?}");
    }

    #[tokio::test]
    async fn a_list_beyond_the_limit_is_an_error_and_not_a_part_of_the_list() {
        let Some(root) = root("a_list_beyond_the_limit") else { return };
        install(root.path(), "plain", "");
        let mut rpm = reader(root.path());
        rpm.limits.bytes = 10;
        let packages = rpm.installed().await;
        assert!(packages.installed.is_empty());
        assert!(packages.error.is_some_and(|e| e.contains("more than 10 bytes")));
    }
}
