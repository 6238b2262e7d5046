//! Which accounts of a machine can do everything on it, or become one that can. In doubt one can.

use std::collections::BTreeSet;

/// Groups whose members have other ways to be root: by `sudo`, by a container with the machine's disk, by the disk
/// itself.
const GROUPS: [&str; 10] =
    ["root", "sudo", "wheel", "admin", "docker", "lxd", "incus", "libvirt", "disk", "shadow"];

/// The directory whose files are read beside `/etc/sudoers`.
pub const SUDOERS_D: &str = "/etc/sudoers.d";

/// An account, as the machine's databases tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The names of all groups that it is in.
    pub groups: BTreeSet<String>,
}

/// Whether an account can do everything. `sudoers` are the texts of the files that say so of `sudo`.
pub fn is_privileged(account: &Known, sudoers: &[String]) -> bool {
    account.uid == 0
        || GROUPS.iter().any(|group| account.groups.contains(*group))
        || sudoers.iter().any(|text| names(text, account))
}

/// Whether a file of sudoers(5) may be about an account: it is named in it, by its name or number or a group's, or a
/// line is for everybody.
fn names(text: &str, account: &Known) -> bool {
    let own = |word: &str| {
        let group = word.strip_prefix('%').map(|g| g.trim_start_matches('#'));
        word == account.name
            || word.strip_prefix('#').and_then(|n| n.parse().ok()) == Some(account.uid)
            || group.is_some_and(|g| account.groups.contains(g) || g.parse::<u32>().is_ok())
            // A netgroup, or a group of another database: nobody here can tell.
            || word.starts_with('+')
            || word.starts_with("%:")
    };
    text.replace("\\\n", " ").lines().any(|line| {
        let line = line.trim();
        if let Some(include) = line.strip_prefix(['#', '@']).filter(|rest| rest.starts_with("include")) {
            // What else is included was not read.
            return include.split_whitespace().ne(["includedir", SUDOERS_D]);
        }
        let comment = line.starts_with('#') && !line[1..].starts_with(|c: char| c.is_ascii_digit());
        if comment || line.starts_with("Defaults") {
            return false;
        }
        let words: Vec<&str> = line.split([' ', '\t', ',', '=', '(', ')', ':', '!']).collect();
        words.first() == Some(&"ALL") || words.into_iter().any(own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str, uid: u32, groups: &[&str]) -> Known {
        Known { name: name.to_owned(), uid, groups: groups.iter().map(|g| (*g).to_owned()).collect() }
    }

    const DEBIAN: &str = "# User privilege specification\nDefaults env_reset\nroot ALL=(ALL:ALL) ALL\n\
                          %sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n#includedir /etc/sudoers.d\n";

    #[test]
    fn whoever_can_become_root_is_an_administrator_by_whatever_way() {
        let files = [DEBIAN.to_owned()];
        assert!(is_privileged(&known("toor", 0, &[]), &[]));
        assert!(is_privileged(&known("bob", 1000, &["docker"]), &files));
        assert!(!is_privileged(&known("bob", 1000, &["bob", "users"]), &files));
        for line in [
            "bob ALL=(ALL) NOPASSWD: ALL",
            "ADMINS ALL = ALL\nUser_Alias ADMINS = alice, \\\n bob",
            "#1000 ALL=ALL",
            "%users ALL=/usr/bin/vi",
            "%#100 ALL=ALL",
            "+operators ALL=ALL",
            "ALL ALL=(ALL) /usr/bin/less",
            "@includedir /etc/x",
            "#include /etc/sudoers.local",
            "@include /etc/sudoers.d",
        ] {
            assert!(is_privileged(&known("bob", 1000, &["bob", "users"]), &[line.to_owned()]), "{line}");
        }
        for line in ["bobby ALL=ALL", "# bob ALL=ALL", "%bobs ALL=ALL", "Defaults:bob !lecture"] {
            assert!(!is_privileged(&known("bob", 1000, &["bob", "users"]), &[line.to_owned()]), "{line}");
        }
    }
}
