//! From where a port may be reached: sets of addresses, as policies allow them and requests ask for them.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// Most prefixes in one list.
pub const MAX_PREFIXES: usize = 100;

/// A set of addresses, as disjoint prefixes in order. Never empty: what is allowed from nowhere is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sources(Vec<IpNet>);

/// A list of prefixes that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// One is neither `*` nor an address nor a prefix.
    #[error("'{0}' is neither '*' nor an address nor a prefix such as 192.0.2.0/24")]
    Prefix(String),
    /// There is none, or too many.
    #[error("there are 1 to {MAX_PREFIXES} prefixes")]
    Count,
}

impl Sources {
    /// Reads prefixes: `*` is every address of both families, an address is itself.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn parse<'t>(prefixes: impl IntoIterator<Item = &'t str>) -> Result<Sources, SourceError> {
        let mut nets = Vec::new();
        for prefix in prefixes {
            if nets.len() >= 2 * MAX_PREFIXES {
                return Err(SourceError::Count);
            }
            match prefix.trim() {
                "*" => nets.extend(everything()),
                text => nets.push(net(text).ok_or_else(|| SourceError::Prefix(prefix.to_owned()))?),
            }
        }
        if nets.is_empty() { Err(SourceError::Count) } else { Ok(Sources(IpNet::aggregate(&nets))) }
    }

    /// One address. What a socket of both families calls `::ffff:192.0.2.1` is 192.0.2.1.
    pub fn address(address: IpAddr) -> Sources {
        Sources(vec![IpNet::from(address.to_canonical())])
    }

    /// The prefixes.
    pub fn prefixes(&self) -> &[IpNet] {
        &self.0
    }

    /// Whether every address of it is one of `others`.
    pub fn is_within(&self, others: &Sources) -> bool {
        // Both are aggregated: a prefix that several cover together is covered by one.
        self.0.iter().all(|own| others.0.iter().any(|other| other.contains(own)))
    }

    /// As Azure writes it where there is one prefix: `*`, an address, or a prefix.
    pub fn words(&self) -> Vec<String> {
        if self.0 == everything() {
            return vec!["*".to_owned()];
        }
        let word = |net: &IpNet| match net.prefix_len() == net.max_prefix_len() {
            true => net.addr().to_string(),
            false => net.to_string(),
        };
        self.0.iter().map(word).collect()
    }
}

fn everything() -> [IpNet; 2] {
    [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
}

fn net(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)))?;
    Some(net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(prefixes: &[&str]) -> Sources {
        Sources::parse(prefixes.iter().copied()).unwrap()
    }

    #[test]
    fn prefixes_are_read_as_azure_writes_them_and_nothing_else_is_a_source() {
        assert_eq!(of(&["*"]).words(), ["*"]);
        assert_eq!(of(&["192.0.2.1"]).words(), ["192.0.2.1"]);
        assert_eq!(of(&["192.0.2.0/25", "192.0.2.128/25"]).words(), ["192.0.2.0/24"]);
        assert_eq!(of(&["2001:db8::1/64"]).words(), ["2001:db8::/64"]);
        assert_eq!(Sources::parse([]), Err(SourceError::Count));
        for bad in ["", "Internet", "192.0.2.1/33", "192.0.2", "-1", "192.0.2.1 192.0.2.2", "* "] {
            assert_eq!(Sources::parse([bad]).is_err(), bad != "* ", "{bad}");
        }
        assert_eq!(Sources::parse(vec!["192.0.2.1"; 300]), Err(SourceError::Count));
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert!(Sources::address(mapped).is_within(&of(&["192.0.2.0/24"])));
    }

    fn some_net() -> impl Strategy<Value = IpNet> {
        let v4 = (0_u32..64, 26_u8..=32).prop_map(|(n, l)| {
            IpNet::new(IpAddr::V4(std::net::Ipv4Addr::from(0xc000_0200 + n)), l).unwrap().trunc()
        });
        let v6 = (0_u128..16, 124_u8..=128).prop_map(|(n, l)| {
            IpNet::new(IpAddr::V6(std::net::Ipv6Addr::from((0x2001_u128 << 112) + n)), l).unwrap().trunc()
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        /// The oracle looks at every address there is.
        #[test]
        fn one_set_is_within_another_exactly_when_each_of_its_addresses_is(
            a in prop::collection::vec(some_net(), 1..4), b in prop::collection::vec(some_net(), 1..6),
        ) {
            let (own, others) = (Sources(IpNet::aggregate(&a)), Sources(IpNet::aggregate(&b)));
            let universe = (0_u32..64)
                .map(|n| IpAddr::V4(std::net::Ipv4Addr::from(0xc000_0200 + n)))
                .chain((0_u128..16).map(|n| IpAddr::V6(std::net::Ipv6Addr::from((0x2001_u128 << 112) + n))));
            let holds = |nets: &[IpNet], at: &IpAddr| nets.iter().any(|n| n.contains(at));
            let expected = universe.into_iter().all(|at| !holds(&a, &at) || holds(&b, &at));
            prop_assert_eq!(own.is_within(&others), expected);
        }

        #[test]
        fn any_text_is_read_without_panic(text in "[0-9a-f:./* -]{0,24}") {
            if let Ok(sources) = Sources::parse([text.as_str()]) {
                let again: Vec<String> = sources.words();
                prop_assert_eq!(Sources::parse(again.iter().map(String::as_str)).unwrap(), sources);
            }
        }
    }
}
