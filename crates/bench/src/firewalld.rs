//! The same policy as firewalld holds it: a policy object from every zone to every zone, with one rich rule after the other.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use ipnet::IpNet;
use sekisho_lab::Host;
use sekisho_nsg::policy::{Addresses, Ports, Protocol, Rule, RuleAction};

/// What of a rule a rich rule can say: source or destination ports, and ports of nothing that has none.
pub(crate) fn expressible(mut rule: Rule) -> Rule {
    let has_ports = matches!(rule.protocol, Protocol::Any | Protocol::Tcp | Protocol::Udp);
    if !has_ports || rule.destination_ports != Ports::Any {
        rule.source_ports = Ports::Any;
    }
    if !has_ports {
        rule.destination_ports = Ports::Any;
    }
    rule
}

/// Makes firewalld's rules of these in a host; what no rule is about is dropped. `files` is where its packages are unpacked.
pub(crate) fn load(host: &Host, files: &Path, rules: &[Rule]) -> anyhow::Result<()> {
    let configuration = tempfile::tempdir()?;
    let policies = configuration.path().join("policies");
    std::fs::create_dir(&policies)?;
    std::fs::write(policies.join("same.xml"), policy(rules)?)?;
    let mut python = host.command("python3");
    // It says on standard output what it misses of what is not asked of it.
    python.arg("-").arg(files).arg(configuration.path()).stdin(Stdio::piped());
    python.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut python = python.spawn().context("python3")?;
    let script = include_bytes!("firewalld.py");
    std::io::Write::write_all(&mut python.stdin.take().context("python3 has no input")?, script)?;
    let done = python.wait_with_output()?;
    ensure!(done.status.success(), "firewalld: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}

fn policy(rules: &[Rule]) -> anyhow::Result<String> {
    let mut xml = String::from(
        "<policy priority=\"-100\" target=\"DROP\"><ingress-zone name=\"ANY\"/><egress-zone name=\"ANY\"/>\n",
    );
    let mut priority = 0_u16;
    for rule in rules {
        let action = if rule.access == RuleAction::Deny { "<drop/>" } else { "<accept/>" };
        for (source, destination) in pairs(&rule.source, &rule.destination) {
            let family = source.or(destination).map(|net| if net.addr().is_ipv4() { "ipv4" } else { "ipv6" });
            for element in elements(rule) {
                priority =
                    priority.checked_add(1).filter(|p| *p < 32_768).context("more rules than priorities")?;
                write!(xml, "<rule priority=\"{priority}\"")?;
                if let Some(family) = family {
                    write!(xml, " family=\"{family}\"")?;
                }
                xml.push('>');
                for (name, net) in [("source", source), ("destination", destination)] {
                    if let Some(net) = net {
                        write!(xml, "<{name} address=\"{net}\"/>")?;
                    }
                }
                writeln!(xml, "{element}{action}</rule>")?;
            }
        }
    }
    xml.push_str("</policy>\n");
    Ok(xml)
}

/// Every source with every destination of its family.
fn pairs<'a>(
    source: &'a Addresses,
    destination: &'a Addresses,
) -> Vec<(Option<&'a IpNet>, Option<&'a IpNet>)> {
    let each = |side: &'a Addresses| match side {
        Addresses::Any => vec![None],
        Addresses::Only(nets) => nets.iter().map(Some).collect(),
    };
    let together = |from: Option<&IpNet>, to: Option<&IpNet>| {
        from.zip(to).is_none_or(|(from, to)| from.addr().is_ipv4() == to.addr().is_ipv4())
    };
    let destinations = each(destination);
    let with =
        |from| destinations.iter().map(move |to| (from, *to)).filter(move |(from, to)| together(*from, *to));
    each(source).into_iter().flat_map(with).collect()
}

/// What a rich rule says of protocol and ports: one of each, so that a rule becomes several.
fn elements(rule: &Rule) -> Vec<String> {
    let named = |names: &[&str]| names.iter().map(|name| format!("<protocol value=\"{name}\"/>")).collect();
    let protocols: &[&str] = match rule.protocol {
        Protocol::Any => &["tcp", "udp", "sctp"],
        Protocol::Tcp => &["tcp"],
        Protocol::Udp => &["udp"],
        Protocol::Icmp => return named(&["icmp", "ipv6-icmp"]),
        Protocol::Esp => return named(&["esp"]),
        Protocol::Ah => return named(&["ah"]),
    };
    let (element, ranges) = match (&rule.source_ports, &rule.destination_ports) {
        (_, Ports::Only(ranges)) => ("port", ranges),
        (Ports::Only(ranges), _) => ("source-port", ranges),
        (Ports::Any, Ports::Any) if rule.protocol == Protocol::Any => return vec![String::new()],
        (Ports::Any, Ports::Any) => return named(protocols),
    };
    let each = ranges.iter().flat_map(|range| {
        let ports = format!("{}-{}", range.first(), range.last());
        protocols.iter().map(move |protocol| format!("<{element} port=\"{ports}\" protocol=\"{protocol}\"/>"))
    });
    each.collect()
}
