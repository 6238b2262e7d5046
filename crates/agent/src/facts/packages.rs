//! Installed packages: dpkg's status file, read directly.
//!
//! rpm keeps its database in a format that only its own library reads; until the updates system brings a reader, such
//! machines say `rpm` and list nothing.

use std::collections::BTreeMap;
use std::path::Path;

use sekisho_link::facts::Packages;

use super::read;

pub(super) fn installed() -> Packages {
    if Path::new("/var/lib/dpkg/status").exists() {
        return Packages {
            manager: "dpkg".to_owned(),
            installed: parse_status(&read("/var/lib/dpkg/status")),
        };
    }
    let rpm = ["/var/lib/rpm", "/usr/lib/sysimage/rpm"].iter().any(|p| Path::new(p).exists());
    Packages { manager: if rpm { "rpm" } else { "none" }.to_owned(), installed: BTreeMap::new() }
}

/// `deb-status`: paragraphs of fields; packages of a foreign architecture carry it in their name.
fn parse_status(text: &str) -> BTreeMap<String, String> {
    let mut seen: Vec<(String, String, String)> = text
        .split("\n\n")
        .filter_map(|paragraph| {
            let field = |name: &str| {
                paragraph
                    .lines()
                    .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))
                    .map(|v| v.trim().to_owned())
            };
            field("Status")?.ends_with(" installed").then_some(())?;
            Some((field("Package")?, field("Architecture").unwrap_or_default(), field("Version")?))
        })
        .collect();
    seen.sort();
    let mut out = BTreeMap::new();
    for (name, architecture, version) in seen {
        if out.contains_key(&name) {
            out.insert(format!("{name}:{architecture}"), version);
        } else {
            out.insert(name, version);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_are_listed_and_two_architectures_are_two_entries() {
        let text = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nDescription: x\n more\n\n\
                    Package: a\nStatus: install ok installed\nArchitecture: i386\nVersion: 2\n\n\
                    Package: b\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 3\n";
        let p = parse_status(text);
        assert_eq!(p.len(), 2);
        assert_eq!(p["a:i386"], "2");
    }
}
