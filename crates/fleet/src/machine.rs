//! What a simulated machine is: everything follows from its number alone, so that a test can tell beforehand what a
//! list of the machines must show.

use std::collections::BTreeMap;

use sekisho_link::facts::{
    Agent, Capability, Cpu, Disk, Facts, Kernel, Memory, Mount, Nic, Os, Packages, Process, Route, Service,
    Socket, User,
};
use serde::Serialize;

/// A distribution as machines tell of it.
struct Flavour {
    id: &'static str,
    name: &'static str,
    version_id: &'static str,
    version: &'static str,
    kernels: &'static [&'static str],
    manager: &'static str,
    /// The end of a package's version.
    release: &'static str,
    /// Of 100 machines, how many.
    share: u64,
}

const FLAVOURS: [Flavour; 5] = [
    Flavour {
        id: "ubuntu",
        name: "Ubuntu",
        version_id: "24.04",
        version: "24.04.3 LTS (Noble Numbat)",
        kernels: &["6.8.0-71-generic", "6.8.0-64-generic", "6.14.0-27-generic"],
        manager: "dpkg",
        release: "ubuntu4",
        share: 38,
    },
    Flavour {
        id: "debian",
        name: "Debian GNU/Linux",
        version_id: "12",
        version: "12 (bookworm)",
        kernels: &["6.1.0-37-amd64", "6.1.0-35-amd64"],
        manager: "dpkg",
        release: "deb12u1",
        share: 25,
    },
    Flavour {
        id: "rhel",
        name: "Red Hat Enterprise Linux",
        version_id: "9.6",
        version: "9.6 (Plow)",
        kernels: &["5.14.0-570.25.1.el9_6.x86_64", "5.14.0-503.40.1.el9_5.x86_64"],
        manager: "rpm",
        release: "el9",
        share: 20,
    },
    Flavour {
        id: "almalinux",
        name: "AlmaLinux",
        version_id: "10.0",
        version: "10.0 (Purple Lion)",
        kernels: &["6.12.0-55.20.1.el10_0.x86_64"],
        manager: "rpm",
        release: "el10",
        share: 12,
    },
    Flavour {
        id: "opensuse-leap",
        name: "openSUSE Leap",
        version_id: "15.6",
        version: "15.6",
        kernels: &["6.4.0-150600.23.60-default", "6.4.0-150600.23.53-default"],
        manager: "rpm",
        release: "150600.3.2",
        share: 5,
    },
];

const STEMS: [&str; 40] = [
    "acl",
    "apparmor",
    "attr",
    "audit",
    "bash",
    "bind",
    "binutils",
    "bzip2",
    "ca-certificates",
    "chrony",
    "coreutils",
    "cron",
    "curl",
    "dbus",
    "dracut",
    "e2fsprogs",
    "expat",
    "file",
    "gcc",
    "git",
    "glibc",
    "gnutls",
    "grub2",
    "kmod",
    "krb5",
    "libcap",
    "lvm2",
    "ncurses",
    "nginx",
    "openssh",
    "openssl",
    "pam",
    "perl",
    "postgresql",
    "python3",
    "readline",
    "sqlite",
    "sudo",
    "systemd",
    "zlib",
];
const SUFFIXES: [&str; 24] = [
    "",
    "-bin",
    "-common",
    "-core",
    "-data",
    "-dev",
    "-devel",
    "-doc",
    "-extra",
    "-help",
    "-lang",
    "-libs",
    "-locale",
    "-minimal",
    "-modules",
    "-plugins",
    "-server",
    "-client",
    "-tools",
    "-utils",
    "-base",
    "-filesystem",
    "-selinux",
    "-static",
];
/// A service with the protocol and port it listens on.
const LISTENERS: [(&str, &str, u16); 7] = [
    ("sshd", "tcp", 22),
    ("chronyd", "udp", 323),
    ("nginx", "tcp", 80),
    ("nginx", "tcp", 443),
    ("postgres", "tcp", 5432),
    ("redis-server", "tcp", 6379),
    ("node_exporter", "tcp", 9100),
];

/// One simulated machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    number: u32,
}

/// What a list of machines shows of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The id of its distribution.
    pub os: &'static str,
    /// The distribution's version.
    pub os_version: &'static str,
    /// What people call the distribution.
    pub os_pretty_name: String,
    /// Its kernel.
    pub kernel: &'static str,
    /// Its addresses without prefix lengths and without link-local ones.
    pub addresses: Vec<String>,
}

/// SplitMix64 (Steele, Lea and Flood, 2014): equal seeds give equal machines, on every platform and for ever.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`, which is not zero.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap_or(0)]
    }
}

impl Machine {
    /// The machine with a number; the first is 1.
    pub fn new(number: u32) -> Self {
        Self { number }
    }

    /// `vm-00001` and so on.
    pub fn name(self) -> String {
        format!("vm-{:05}", self.number)
    }

    /// Randomness for one aspect of the machine: aspects do not move each other.
    fn chance(self, aspect: u64) -> Chance {
        Chance(u64::from(self.number) << 8 | aspect)
    }

    fn flavour(self) -> &'static Flavour {
        let mut left = self.chance(0).below(100);
        let found = FLAVOURS.iter().find(|f| {
            let mine = left < f.share;
            left = left.saturating_sub(f.share);
            mine
        });
        found.unwrap_or(&FLAVOURS[0])
    }

    fn kernel(self) -> &'static str {
        self.chance(1).pick(self.flavour().kernels)
    }

    fn os(self) -> Os {
        let flavour = self.flavour();
        Os {
            id: flavour.id.to_owned(),
            name: flavour.name.to_owned(),
            version_id: flavour.version_id.to_owned(),
            version: flavour.version.to_owned(),
            pretty_name: format!("{} {}", flavour.name, flavour.version),
        }
    }

    /// One to four interfaces; every fourth machine speaks IPv6 too.
    fn nics(self) -> Vec<Nic> {
        let count = self.chance(2).pick(&[1, 1, 1, 2, 2, 4]);
        let [_, high, middle, low] = self.number.to_be_bytes();
        (0..count)
            .map(|i: u8| {
                let mut addresses = vec![
                    format!("10.{}.{middle}.{low}/16", 32 * i + high),
                    format!("fe80::5054:{i:x}{high:02x}:{middle:x}:{low:x}/64"),
                ];
                if self.number.is_multiple_of(4) {
                    addresses.push(format!("fd00:{i:x}::{:x}/64", self.number));
                }
                Nic {
                    name: format!("eth{i}"),
                    mac: format!("52:54:{i:02x}:{high:02x}:{middle:02x}:{low:02x}"),
                    mtu: 1500,
                    up: true,
                    addresses,
                }
            })
            .collect()
    }

    /// 300 to 900 packages.
    fn packages(self) -> Packages {
        let flavour = self.flavour();
        let mut chance = self.chance(3);
        let count = usize::try_from(300 + chance.below(601)).unwrap_or(300);
        let all = SUFFIXES.iter().flat_map(|suffix| STEMS.iter().map(move |stem| format!("{stem}{suffix}")));
        let installed: BTreeMap<String, String> = all
            .take(count)
            .map(|name| {
                let [major, minor, patch] = [chance.below(12), chance.below(40), chance.below(9)];
                (name, format!("{major}.{minor}.{patch}-{}.{}", chance.below(5), flavour.release))
            })
            .collect();
        Packages { manager: flavour.manager.to_owned(), installed, error: None }
    }

    fn sockets(self) -> Vec<Socket> {
        let count = 2 + usize::try_from(self.chance(4).below(6)).unwrap_or(0);
        LISTENERS
            .iter()
            .take(count)
            .zip(700..)
            .map(|(&(program, protocol, port), pid)| Socket {
                protocol: protocol.to_owned(),
                address: "0.0.0.0".to_owned(),
                port,
                process: Some(Process {
                    pid,
                    name: program.to_owned(),
                    exe: format!("/usr/sbin/{program}"),
                    uid: 0,
                }),
            })
            .collect()
    }

    /// Everything the machine says about itself.
    pub fn facts(self) -> Facts {
        const GIB: u64 = 1 << 30;
        let mut chance = self.chance(5);
        let memory = GIB << chance.below(7);
        let disk = (20 + 20 * chance.below(20)) * GIB;
        let nics = self.nics();
        let routes = vec![Route {
            destination: "0.0.0.0/0".to_owned(),
            gateway: "10.0.0.1".to_owned(),
            interface: "eth0".to_owned(),
            metric: 100,
        }];
        let user = |name: &str, uid: u32, home: &str| User {
            name: name.to_owned(),
            uid,
            gid: uid,
            home: home.to_owned(),
            shell: "/bin/bash".to_owned(),
        };
        let service = |name: &str| Service { name: format!("{name}.service"), state: "running".to_owned() };
        let sockets = self.sockets();
        let services = sockets.iter().filter_map(|s| s.process.as_ref()).map(|p| service(&p.name)).collect();
        let nftables = Capability { tier: "full".to_owned(), detail: "simulated".to_owned() };
        Facts {
            platform: String::new(),
            reach: Vec::new(),
            os: self.os(),
            kernel: Kernel {
                release: self.kernel().to_owned(),
                version: "#1 SMP PREEMPT_DYNAMIC".to_owned(),
                arch: "x86_64".to_owned(),
            },
            cpu: Cpu {
                model: chance.pick(&["AMD EPYC 7763", "Intel(R) Xeon(R) Gold 6338"]).to_owned(),
                count: 1 << chance.below(6),
            },
            memory: Memory {
                total_bytes: memory,
                available_bytes: memory / 4 * (1 + chance.below(3)),
                swap_total_bytes: 0,
            },
            hostname: self.name(),
            boot_id: self.boot_id(),
            booted_at: format!("2026-{:02}-{:02}T06:00:00Z", 1 + chance.below(10), 1 + chance.below(28)),
            disks: vec![Disk { name: "vda".to_owned(), size_bytes: disk, ..Disk::default() }],
            mounts: vec![Mount {
                source: "/dev/vda1".to_owned(),
                target: "/".to_owned(),
                fs_type: "ext4".to_owned(),
                options: "rw,relatime".to_owned(),
                size_bytes: disk,
                available_bytes: disk / 10 * (1 + chance.below(8)),
            }],
            nics,
            routes,
            sockets,
            users: vec![user("root", 0, "/root"), user("admin", 1000, "/home/admin")],
            services,
            packages: self.packages(),
            capabilities: BTreeMap::from([("nftables".to_owned(), nftables)]),
            agent: Agent { version: env!("CARGO_PKG_VERSION").to_owned(), ..Agent::default() },
            clock: None,
            ssh: None,
        }
    }

    /// The boot id; a simulated machine never boots again.
    pub fn boot_id(self) -> String {
        let mut chance = self.chance(6);
        let (a, b) = (chance.next(), chance.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            b >> 52,
            b & 0xffff_ffff_ffff
        )
    }

    /// What a list shows of it.
    pub fn row(self) -> Row {
        let flavour = self.flavour();
        let nics = self.nics();
        let addresses = nics.iter().flat_map(|n| &n.addresses).filter_map(|a| a.split('/').next());
        Row {
            name: self.name(),
            os: flavour.id,
            os_version: flavour.version_id,
            os_pretty_name: self.os().pretty_name,
            kernel: self.kernel(),
            addresses: addresses.filter(|a| !a.starts_with("fe80:")).map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::IpAddr;

    fn all() -> impl Iterator<Item = Machine> {
        (1..=5000).map(Machine::new)
    }

    #[test]
    fn a_number_always_gives_the_same_machine_and_another_number_another() {
        assert_eq!(Machine::new(7).facts(), Machine::new(7).facts());
        assert_ne!(Machine::new(7).facts().packages, Machine::new(8).facts().packages);
        assert_eq!(
            (Machine::new(1).name(), Machine::new(5000).name()),
            ("vm-00001".into(), "vm-05000".into())
        );
    }

    #[test]
    fn a_large_fleet_has_every_flavour_in_about_its_share() {
        assert_eq!(FLAVOURS.iter().map(|f| f.share).sum::<u64>(), 100);
        for flavour in &FLAVOURS {
            let count = all().filter(|m| m.flavour().id == flavour.id).count() as u64;
            assert!(count.abs_diff(50 * flavour.share) < 150, "{}: {count}", flavour.id);
        }
    }

    #[test]
    fn every_address_and_hardware_address_is_one_and_belongs_to_one_machine() {
        let (mut addresses, mut macs) = (HashSet::new(), HashSet::new());
        for nic in all().flat_map(Machine::nics) {
            assert!(macs.insert(nic.mac.clone()), "{}", nic.mac);
            for address in nic.addresses {
                let (ip, prefix) = address.split_once('/').unwrap();
                ip.parse::<IpAddr>().unwrap();
                prefix.parse::<u8>().unwrap();
                assert!(addresses.insert(address.clone()), "{address}");
            }
        }
    }

    #[test]
    fn machines_differ_in_size_as_real_ones_do() {
        let counts: Vec<usize> = all().take(200).map(|m| m.packages().installed.len()).collect();
        assert!(counts.iter().all(|c| (300..=900).contains(c)), "{counts:?}");
        assert!(counts.iter().collect::<HashSet<_>>().len() > 100);
        let nics: HashSet<usize> = all().map(|m| m.nics().len()).collect();
        assert_eq!(nics, HashSet::from([1, 2, 4]));
    }

    #[test]
    fn a_row_says_what_the_facts_say() {
        for machine in all().take(50) {
            let (row, facts) = (machine.row(), machine.facts());
            assert_eq!((row.os, row.os_version), (facts.os.id.as_str(), facts.os.version_id.as_str()));
            assert_eq!(row.kernel, facts.kernel.release);
            let v4 = facts.nics[0].addresses[0].split('/').next().unwrap();
            assert_eq!(row.addresses[0], v4);
        }
    }
}
