//! Installed packages: dpkg's status file, read directly, or rpm's database through rpm's own program.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sekisho_link::facts::Packages;
use tokio::sync::Mutex;

use super::rpm::Rpm;

const DPKG_STATUS: &str = "/var/lib/dpkg/status";

pub(super) async fn installed() -> Packages {
    static RPM: Mutex<Rpm> = Mutex::const_new(Rpm::of_this_machine());
    // Debian brings rpm's program for those who build packages with it; dpkg manages the machine all the same.
    if fs::metadata(DPKG_STATUS).is_ok_and(|m| m.len() > 0) {
        return dpkg(Path::new(DPKG_STATUS));
    }
    RPM.lock().await.installed().await
}

fn dpkg(status: &Path) -> Packages {
    let (installed, error) = match fs::read(status) {
        Ok(bytes) => (named(parse_status(&String::from_utf8_lossy(&bytes))), None),
        Err(error) => (BTreeMap::new(), Some(format!("{}: {error}", status.display()))),
    };
    Packages { manager: "dpkg".to_owned(), installed, error }
}

/// A package as a manager tells of it. Ordered by name, then architecture, then the version's text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) architecture: String,
    pub(super) version: String,
}

/// Names to versions. Of packages with the same name the first has the name alone, the others `name:architecture`, and
/// `name:architecture=version` where even that is taken: rpm keeps several kernels.
pub(super) fn named(mut packages: Vec<Package>) -> BTreeMap<String, String> {
    packages.sort();
    packages.dedup();
    let mut out = BTreeMap::new();
    for Package { name, architecture, version } in packages {
        let full = format!("{name}:{architecture}");
        let key = if !out.contains_key(&name) {
            name
        } else if !out.contains_key(&full) {
            full
        } else {
            format!("{full}={version}")
        };
        out.insert(key, version);
    }
    out
}

/// `deb-status`: paragraphs of fields.
fn parse_status(text: &str) -> Vec<Package> {
    text.split("\n\n")
        .filter_map(|paragraph| {
            let field = |name: &str| {
                paragraph
                    .lines()
                    .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))
                    .map(|v| v.trim().to_owned())
            };
            field("Status")?.ends_with(" installed").then_some(())?;
            Some(Package {
                name: field("Package")?,
                architecture: field("Architecture").unwrap_or_default(),
                version: field("Version")?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_are_listed_and_two_architectures_are_two_entries() {
        let text = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nDescription: x\n more\n\n\
                    Package: a\nStatus: install ok installed\nArchitecture: i386\nVersion: 2\n\n\
                    Package: b\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 3\n";
        let p = named(parse_status(text));
        assert_eq!(p.len(), 2);
        assert_eq!((p["a"].as_str(), p["a:i386"].as_str()), ("1", "2"));
    }

    #[test]
    fn no_package_hides_another_of_the_same_name() {
        let kernel = |version: &str| Package {
            name: "kernel".to_owned(),
            architecture: "x86_64".to_owned(),
            version: version.to_owned(),
        };
        let p = named(vec![kernel("3"), kernel("1"), kernel("2"), kernel("2")]);
        assert_eq!(p.into_values().collect::<Vec<_>>(), ["1", "2", "3"]);
    }

    #[test]
    fn a_status_file_that_cannot_be_read_is_not_a_machine_without_packages() {
        let dir = tempfile::tempdir().unwrap();
        let p = dpkg(&dir.path().join("status"));
        assert!(p.error.is_some_and(|e| e.contains("status: ")));
    }
}
