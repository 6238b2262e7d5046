//! Listening sockets and who holds them.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;

use sekisho_link::facts::{Process, Socket};

use super::read;

/// TCP state LISTEN, and UDP's "not connected".
const LISTEN: &str = "0A";
const UNCONNECTED: &str = "07";

/// Protocol, address, port and number of a socket.
type Found = (&'static str, IpAddr, u16, u64);

pub(super) fn listening() -> Vec<Socket> {
    let found = told().unwrap_or_else(written);
    let holders = if found.is_empty() { HashMap::new() } else { holders() };
    let mut out: Vec<Socket> = found
        .into_iter()
        .map(|(protocol, address, port, inode)| Socket {
            protocol: protocol.to_owned(),
            address: address.to_string(),
            port,
            process: holders.get(&inode).cloned(),
        })
        .collect();
    out.sort_by(|a, b| (&a.protocol, a.port, &a.address).cmp(&(&b.protocol, b.port, &b.address)));
    out.dedup();
    out
}

/// As the kernel tells of them; `None` where it does not.
fn told() -> Option<Vec<Found>> {
    let named = |protocol| if protocol == 6 { "tcp" } else { "udp" };
    let all = sekisho_nsg::flow::listening().ok()?.into_iter();
    Some(all.map(|(p, s)| (named(p), s.local.0, s.local.1, s.inode.into())).collect())
}

/// As it writes them down, which takes it long.
fn written() -> Vec<Found> {
    let mut found = Vec::new();
    for (protocol, file) in [("tcp", "tcp"), ("tcp", "tcp6"), ("udp", "udp"), ("udp", "udp6")] {
        let state = if protocol == "tcp" { LISTEN } else { UNCONNECTED };
        let text = read(&format!("/proc/self/net/{file}"));
        found.extend(
            parse(&text, state).into_iter().map(|(address, port, inode)| (protocol, address, port, inode)),
        );
    }
    found
}

/// `/proc/net/{tcp,udp}[6]`: local address, port and inode of the sockets in one state.
fn parse(text: &str, state: &str) -> Vec<(IpAddr, u16, u64)> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let f: Vec<&str> = line.split_whitespace().collect();
            if f.get(3) != Some(&state) {
                return None;
            }
            let (address, port) = f.get(1)?.split_once(':')?;
            Some((address_of(address)?, u16::from_str_radix(port, 16).ok()?, f.get(9)?.parse().ok()?))
        })
        .collect()
}

/// 32-bit words in the machine's own byte order.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0u8; 16];
            for i in 0..4 {
                bytes[i * 4..i * 4 + 4].copy_from_slice(&word(i * 8)?);
            }
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

/// Sockets' inodes to the processes that hold them.
fn holders() -> HashMap<u64, Process> {
    let mut out = HashMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return out };
    for pid in entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok()) {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let inodes = files.filter_map(|f| {
            let target = fs::read_link(f.ok()?.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
        });
        let mut process = None;
        for inode in inodes {
            out.entry(inode).or_insert_with(|| process.get_or_insert_with(|| describe(pid)).clone());
        }
    }
    out
}

fn describe(pid: u32) -> Process {
    Process {
        pid,
        name: read(&format!("/proc/{pid}/comm")).trim().to_owned(),
        exe: fs::read_link(format!("/proc/{pid}/exe")).map(|p| p.display().to_string()).unwrap_or_default(),
        uid: fs::metadata(format!("/proc/{pid}")).map(|m| m.uid()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_are_found() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1\n\
             1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 12346 1\n";
        assert_eq!(parse(text, LISTEN), [("127.0.0.1".parse().unwrap(), 8080, 12345)]);
        assert_eq!(address_of("00000000000000000000000001000000").unwrap().to_string(), "::1");
    }

    #[test]
    fn a_socket_of_this_process_is_found_with_its_name_whichever_way_the_kernel_tells_of_it() {
        let tcp = ["127.0.0.1:0", "[::1]:0"].map(|at| std::net::TcpListener::bind(at).unwrap());
        let udp = ["0.0.0.0:0", "[::]:0"].map(|at| std::net::UdpSocket::bind(at).unwrap());
        // Neither is of anybody who waits.
        let connected = std::net::TcpStream::connect(tcp[0].local_addr().unwrap()).unwrap();
        let talks = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        talks.connect("127.0.0.1:9").unwrap();
        let at = |protocol, address: std::net::SocketAddr| (protocol, address.ip(), address.port());
        let tcp = tcp.each_ref().map(|s| at("tcp", s.local_addr().unwrap()));
        let own: Vec<_> =
            tcp.into_iter().chain(udp.each_ref().map(|s| at("udp", s.local_addr().unwrap()))).collect();
        for found in [told().unwrap(), written()] {
            let is_there = |&(protocol, address, port)| {
                found.iter().any(|&(p, a, n, _)| (p, a, n) == (protocol, address, port))
            };
            assert!(own.iter().all(is_there), "{own:?} {found:?}");
            let other = [at("tcp", connected.local_addr().unwrap()), at("udp", talks.local_addr().unwrap())];
            assert!(!other.iter().any(is_there), "{other:?} {found:?}");
        }
        let (_, _, port) = own[0];
        let own = listening().into_iter().find(|s| s.port == port && s.protocol == "tcp").unwrap();
        assert_eq!(own.process.unwrap().pid, std::process::id());
    }
}
