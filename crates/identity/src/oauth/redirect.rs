//! Where a public client is sent back to: an address on the person's own machine, and nowhere else (RFC 8252 §7.3).

use std::fmt::Write as _;

/// Longest one taken, in bytes.
const MAX: usize = 200;

/// A loopback redirect URI, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loopback {
    uri: String,
    /// Scheme, host and port.
    origin: usize,
}

impl Loopback {
    /// Reads `http://localhost`, `http://127.0.0.1` or `http://[::1]` with any port and a plain path. No other host, no
    /// other scheme, no user, query or fragment: `None`.
    pub fn parse(uri: &str) -> Option<Loopback> {
        if uri.len() > MAX {
            return None;
        }
        let rest = uri.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let after =
            ["localhost", "127.0.0.1", "[::1]"].iter().find_map(|host| authority.strip_prefix(host))?;
        let port = after.strip_prefix(':');
        let right = match port {
            None => after.is_empty(),
            Some(port) => !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok(),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        (right && path.chars().all(plain))
            .then(|| Loopback { uri: uri.to_owned(), origin: "http://".len() + authority.len() })
    }

    /// The URI as it was given.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Scheme, host and port, as a content security policy names them. It has no form for an IPv6 address.
    pub fn origin(&self) -> Option<&str> {
        Some(&self.uri[..self.origin]).filter(|o| !o.contains('['))
    }

    /// The address with parameters, for an answer by redirection.
    pub fn with(&self, parameters: &[(&str, &str)]) -> String {
        let mut out = self.uri.clone();
        if out.len() == self.origin {
            out.push('/');
        }
        for (n, (name, value)) in parameters.iter().enumerate() {
            out.push(if n == 0 { '?' } else { '&' });
            out.push_str(name);
            out.push('=');
            for byte in value.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    out.push(char::from(byte));
                } else {
                    // Writing to a text does not fail.
                    let _ = write!(out, "%{byte:02X}");
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_own_machine_is_gone_back_to() {
        for good in [
            "http://localhost",
            "http://localhost:8400",
            "http://localhost:8400/",
            "http://127.0.0.1:1/back",
            "http://[::1]:65535/",
        ] {
            assert_eq!(Loopback::parse(good).unwrap().uri(), good);
        }
        for bad in [
            "",
            "https://localhost:8400",
            "http://localhost.evil.test/",
            "http://localhost@evil.test/",
            "http://localhost:8400@evil.test/",
            "http://evil.test#http://localhost",
            "http://localhost:8400?x=y",
            "http://localhost:8400/#x",
            "http://localhost:8400/\\evil.test",
            "http://localhost:8400/%2e",
            "http://localhost:0",
            "http://localhost:65536",
            "http://localhost:",
            "http://LOCALHOST",
            "http://127.0.0.2",
            "http://2130706433",
            "http://[::1",
            "javascript:alert(1)",
            "urn:ietf:wg:oauth:2.0:oob",
            " http://localhost",
            "http://localhost\n",
        ] {
            assert_eq!(Loopback::parse(bad), None, "{bad}");
        }
        assert!(Loopback::parse(&format!("http://localhost/{}", "a".repeat(MAX))).is_none());
    }

    #[test]
    fn parameters_cannot_leave_their_place() {
        let at = |uri| Loopback::parse(uri).unwrap();
        assert_eq!(
            at("http://localhost:1").with(&[("code", "a b&c=#")]),
            "http://localhost:1/?code=a%20b%26c%3D%23"
        );
        assert_eq!(
            at("http://127.0.0.1/x").with(&[("a", "1"), ("b", "é")]),
            "http://127.0.0.1/x?a=1&b=%C3%A9"
        );
        assert_eq!(at("http://localhost:1/x").origin(), Some("http://localhost:1"));
        assert_eq!(at("http://[::1]:1/x").origin(), None);
    }

    proptest! {
        #[test]
        fn whatever_is_taken_begins_with_a_loopback_origin(text in "(http://)?(localhost|127.0.0.1|\\[::1\\])?\\PC{0,30}") {
            if let Some(read) = Loopback::parse(&text) {
                let path = read.uri()["http://".len()..].to_owned();
                let host = path.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
                prop_assert!(!host.contains('@') && !read.uri().contains(['?', '#', '\\', '%', ' ']));
                let bare = host.rsplit_once(':').filter(|(h, _)| !h.starts_with('[') || h.ends_with(']')).map_or(host.as_str(), |(h, _)| h);
                prop_assert!(["localhost", "127.0.0.1", "[::1]"].contains(&bare), "{}", bare);
            }
        }
    }
}
